"""The guard: what it knows, how it decides, and the loop around that. A map of what to read, in which order.

**The idea** (twenty minutes). The guard is a pure fold over events: everything that touches the world is an
adapter that makes events or carries decisions out.

1. ``events``       everything the guard can learn, one message each
   (``margin_terms``, ``holdings``: what a venue demands, what an account holds, as values)
   (``readings``, ``forecasts``: what estimators are given of a market, and what they say of it)
2. ``findings``     what a policy may say is wrong, and what limit it asks for
3. ``engine``       ``process(event) -> Step``: the whole guard in one page
4. ``ports``        what the loop needs of the world, as protocols of one to three methods
5. ``runner``       the loop: take an event, process it, record it, then act

**How it decides.** No I/O, no clock, no randomness in any of these; the same events give the same steps.

- ``bots``          one bot: as the settings name it, as it has shown itself
- ``state``         everything that is known; ``apply(event)`` is the one mutation
- ``market/``       one market from outside: book (in C), liquidity, baseline, flow, freshness, ``view`` of all that
- ``leverage/``     maintenance tiers, liquidation prices; the map of everybody else's (``crowd``); ``cascade``
- ``account/``      positions, each counted once; pools, venues' rules, collateral, stress; limits shared among owners
- ``signals/``, ``hazard/``, ``calibration/``   other observables; how likely a fall is, made honest; the regime
- ``unwinding/``    how much of a position to give up, whether now, and in which slices
- ``skill/``        forecasts held against what came: how much each estimator counts
- ``outlook/``      all of these composed, market by market; ``models`` loads the numbers that were fitted for them
- ``own_side``      the trader's accounts, assessed: where each is liquidated, and what that hangs on
- ``policy``        what a policy is; the policies themselves are in the folder ``policies``, one file each
- ``scope``         what an event may have changed; ``standing`` what stands of all that was found
- ``arbiter``       findings (in order: ``ranking``) to what each bot may do (``desired``): tightest wins, loosen
                    slowly (``latches``)
- ``ladder``        how far the guard goes and may go; ``closing`` what stays closed until a human opens it;
                    ``instructions`` what humans told it
- ``wants``, ``effects``      what is asked of a bot, and whether it is so
- ``pacing``        a size is come to in slices: what may be told by now of what is wanted
- ``ownership``     whose a bot's pause is: what the guard may take back
- ``budget``, ``routes``  how many reductions a day go without a human; other ways when a bot does not reduce
- ``outstanding``   commands whose effect was not seen yet, and those that failed
- ``conversation``, ``dispatch_settings``  one command issued, repeated, judged
- ``paper/``        accounts and bots on paper: what orders cost in the book of now, what a venue would make of it
- ``dispatch``, ``postures``  desired against confirmed: what to publish now, again, or give up

**How it acts and remembers.**

- ``commands``      what a bot is told; the wire types themselves are the SDK's (``perpguard_sdk.messages``)
- ``bill/``         what decisions saved and cost, against unguarded twins (``billed``, ``bill_words``)
- ``audit``         what is written down, and how records are chained
- ``inbox``         the queue in front of the engine: what may be dropped, what never
- ``journal``, ``outbox``     record, then act: what waits for the disk and for how long
- ``hops``, ``traces``        how long it took from the venue's clock to the bot's answer, hop by hop
- ``cadence``       how often each market is sampled: who matters at full pace, the rest as time allows
- ``readiness``     whether everything that is watched was seen once
- ``load``          whether the loop keeps up, and what is said when it does not
- ``status``        what the guard says of itself on its topics
- ``notices``, ``telling``    what people are told: grouped, once it has settled, and when it is over
- ``meters``, ``measuring`` (``_accounts``, ``_bill``, ``_outlook``)  what is counted and measured, for whoever asks
- ``explain``, ``_brief``, ``_story``, ``_hops``, ``_outlook``, ``_reasons``, ``_words``, ``audit_lines``  in words

**How it is put together and run.**

- ``settings``      TOML, environment, secrets (and ``settings_shape``, ``_lines``, ``_document``)
- ``configuration`` the settings of the whole program: every part's own model in one place
- ``profiles/``     other defaults, all at once
- ``extensions``    policies of other distributions; ``conformance/`` what every policy has to keep, as a suite
- ``app``, ``wiring``  the only place that wires adapters and policies to the engine; which feeds that are
- ``building``      the engine of the settings with its policies, for ``app`` and for ``replay``
- ``replay/``       the same engine over a file of events, and what it says second by second
- ``simulating``    made-up markets into files
- ``reload/``       other settings while it runs: when, what differs, how it is swapped
- ``remembering``   what estimators learned, kept over restarts
- ``supervised``    what systemd is told, by the engine's progress alone; ``stopping``  how it ends when asked to
- ``feeding``, ``clock_offset``  feeds kept running, ended and begun; our clock held against the venues'
- ``doctor``        examines all of it from outside
- ``check``, ``demo``, ``demo_market``, ``demo_report``, ``cli``  the commands
- ``credentials``   bots let in and thrown out (and ``settings_edit``, ``bot_snippet``)
- ``columns``, ``tables``  what files consist of, how they are written; ``extras``: libraries of some commands alone
- ``units``, ``errors``  names for scalars, and the one tree of errors with what to do about each

Who may import whom is held by import-linter in ``pyproject.toml``; an import always points down this list's
layers, never up.
"""
