"""``./course verify``: the checks are checked, with right answers, wrong ones and mutants."""
