"""Which made-up markets there are: worlds that disagree, scenarios, ranges, seeds, and what they are held against."""
