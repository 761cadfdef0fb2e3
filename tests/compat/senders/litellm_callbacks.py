"""Usage that LiteLLM's callbacks report, of calls whose answer is made up: 30 tokens each."""

import asyncio
import os
import time

os.environ.update(
    OPENMETER_API_ENDPOINT=os.environ["SERVER"],
    OPENMETER_API_KEY=os.environ["KEY"],
    OPENMETER_EVENT_TYPE="litellm_openmeter.call",
    LAGO_API_BASE=os.environ["SERVER"],
    LAGO_API_KEY=os.environ["KEY"],
    LAGO_API_EVENT_CODE="litellm_lago.call",
    LAGO_API_CHARGE_BY="user_id",
    LITELLM_LOCAL_MODEL_COST_MAP="True",
)

import litellm  # noqa: E402 - it reads the environment

CALL = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Hello"}],
    "mock_response": "Hello to you.",
    "user": "acme",
    "metadata": {"user_api_key_user_id": "acme-scale"},
}


async def call_for_openmeter() -> None:
    """LiteLLM reports to OpenMeter what was called asynchronously, as its proxy does."""
    litellm.success_callback = ["openmeter"]
    for _ in range(3):
        await litellm.acompletion(**CALL)
    await asyncio.sleep(3)  # it is sent behind our back


def call_for_lago() -> None:
    litellm.success_callback = ["lago"]
    for _ in range(3):
        litellm.completion(**CALL)
    time.sleep(3)


asyncio.run(call_for_openmeter())
litellm._async_success_callback = []
call_for_lago()
