"""Three services of a shop, each a program of its own, on the public interface of `causal` alone.

    S1 orders ──order.placed──▶ S2 payments ──order.paid──▶ S3 shipping ──order.shipped──▶ S1
            └───order.placed───────────────────────────────▶ S3 ──stock.counted──▶ S1, S2

S3 reserves goods when an order is placed and hands them over when it is paid. The two messages come over
different connections, so a payment can overtake its order. What S3 then does is wrong for good: it ships
goods that nobody reserved, and reserves goods for an order that has already left.

Run each in a terminal of its own, in any order, and stop and start any of them again:

    python -m services.shipping
    python -m services.payments
    python -m services.orders

Read `orders.py` first, then the other two; `program.py` holds what a program needs around a node.
"""
