"""Which units are ablated, by what and when: from orderings and schedules to a plan."""
