"""A bundle answered over HTTP: ``edgepress serve``. What is here needs the extra ``serve``; no device does.

A request's road: :mod:`connections` holds the socket's limits, :mod:`application` reads and refuses, :mod:`workers`
keeps the queue and the threads, :mod:`service` knows what the bundle answers, :mod:`replies` writes it down.
"""
