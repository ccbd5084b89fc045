"""The worker: the process in which the engine calls functions.

It knows slots of shared memory, one function and the socket to its engine
(``api/udf-protocol.md`` in the repository). It knows no pipeline, plan, key or
state. One thread does everything: take the next batch, call, write the result.

Modules: ``main`` starts up, ``load`` finds the function, ``loop`` takes batches,
``columns`` turns slots into arrays and back, ``results`` checks what came back,
``isolate`` finds the rows that fail, ``errors`` describes exceptions, ``logs``
passes on log records, ``protocol`` and ``memory`` are the wire.
"""
