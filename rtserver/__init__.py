"""A self-hosted real-time server: sessions of many kinds over one durable log.

What stands higher imports what stands lower (`tests/unit/test_layers.py` has each edge):

    cli              the command line
    app              the composition root; begin with `rtserver.app.server`
    interface        what other systems are told of the sockets
    audit.live  presence  runs.validation  runs.iteration
    sessions  runs
    delivery  watch  revisions  audit.record  audit.archive  audit.verify
    auth  eventlog  reviews
    observe  config  runs.files  runs.llm
    model  lib  runs.process       import nothing of the project

Beside it stand `handlers`, the ways in, and `store`, MongoDB; only `app` imports them.
"""
