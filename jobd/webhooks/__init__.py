"""Webhooks on their way out: never into a network that the operator did not allow.

    egress.py      which addresses may be dialled, asked for each one right before it is
    sender.py      one attempt: sign, POST, read a little of the answer
    deliverer.py   the loop: what is due, its body, its attempts, its next due time

A message and its delivery are written in the transaction of the job's event
(store/deliveries.py). Not here: the retry policy (domain/deliveries.py), the body
(wire/webhooks.py).
"""
