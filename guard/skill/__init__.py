"""What came true of what was said, and what each estimator therefore counts. Pure.

- ``outcomes``     onsets, reach, falls, alarm events: one definition, over arrays and online
- ``ledger``       keeps what was said until its time comes, and has it judged: ``observe``, ``keep``, ``scores``
- ``waiting``      what waits, of one market; ``sweeps`` maps against what was told as liquidated
- ``climatology``  what is usual: the baseline
- ``recalibration``  the rates of life on top of what was fitted
- ``evidence``     nats for and against each estimator, hour by hour; ``gate`` weights from them; ``mixing`` by weights
- ``scoreboard``, ``scores``  what is kept and shown of how each has done
"""
