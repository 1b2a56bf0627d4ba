"""Fitted probabilities as values: numbers from an artefact, evaluated without a library. Pure; fits nothing itself.

``cells`` holds the model: one log-odds per cell (a distance, or a horizon and a distance) that is linear in clipped,
standardised features and their hinges. ``monotone`` keeps neighbouring cells in order; ``distribution`` turns
probabilities of reaching distances into quantiles and a mean.
"""
