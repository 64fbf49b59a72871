"""How late the event loop is: as long, at most, connections and requests wait unread."""

import asyncio

from bundle.concepts import LATENCY_BUCKETS, LOOP_LAG
from bundle.declaration import Declaration
from serving.metrics.vocabulary import Vocabulary

INTERVAL_SECONDS = 0.1


class EventLoopLag:
    def __init__(self, vocabulary: Vocabulary, declaration: Declaration) -> None:
        self._observe = vocabulary.histogram(declaration, LOOP_LAG, LATENCY_BUCKETS)

    async def run(self) -> None:
        """Observe by how much each sleep takes longer than asked for."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + INTERVAL_SECONDS
            await asyncio.sleep(INTERVAL_SECONDS)
            self._observe(max(0.0, loop.time() - due))
