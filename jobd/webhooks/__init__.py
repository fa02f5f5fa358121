"""Webhooks on their way out: never into a network that the operator did not allow.

    egress.py      which addresses may be dialled, asked for each one right before it is
    names.py       their addresses, looked up where nothing else waits for it
    sender.py      one attempt: sign, POST, read a little of the answer
    receivers.py   who may be sent to at the moment: a line for each receiver, its breaker
    deliverer.py   the loop: what is due, its body, its attempts, its next due time
    aftermath.py   what attempts mean for endpoints: their health, their end
    ops.py         what the operator is told

A message and its delivery are written in the transaction of the job's event
(store/outbox.py). Not here: the retry policy (domain/deliveries.py), when a breaker opens
(domain/breaker.py), the body (wire/webhooks.py).
"""
