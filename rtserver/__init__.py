"""A self-hosted real-time server: sessions of many kinds over one durable log.

What stands higher imports what stands lower (`tests/unit/test_layers.py` has each edge):

    cli            the command line
    app            the composition root: builds the parts of a worker and joins them
    interface      what other systems are told of the sockets
    audit.live  presence  runs.validation  runs.iteration
    sessions  runs
    delivery  audit.record  watch
    auth  eventlog  reviews
    observe        log output, metrics
    model  lib  config        import nothing of the above

Beside it stand `handlers`, the ways in, and `store`, MongoDB; only `app` imports them.
"""
