"""Event Grid on your machine: topics, filtered subscriptions, delivery with retries and dead letters."""

from local.event_grid.dead_letters import BlobDeadLetters, DeadLetter
from local.event_grid.delivery import Attempt
from local.event_grid.destinations import QueueMessages
from local.event_grid.endpoints import HandshakeRefused
from local.event_grid.envelopes import Published
from local.event_grid.filters import BadSubscription
from local.event_grid.grid import EventGrid
from local.event_grid.subscriptions import Subscription, load_subscriptions
from local.event_grid.topics import topic_id

__all__ = [
    "Attempt",
    "BadSubscription",
    "BlobDeadLetters",
    "DeadLetter",
    "EventGrid",
    "HandshakeRefused",
    "Published",
    "QueueMessages",
    "Subscription",
    "load_subscriptions",
    "topic_id",
]
