"""Where to cut a network between a device and a server: what each place costs, and which is fastest over a link.

::

    model ─► float graph ─► candidates ─┐
    board ─► times of the device's half ┤
    server ─► times of the rest         ├─► options ─► the best of each kind, link rates at which that changes
    link, pictures ─► bytes             ┘
"""
