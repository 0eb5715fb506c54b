"""litellm's price file: which of its entries are models of our providers, and what the provider calls them.

Its keys are the names its own users write, so most carry a prefix. Left out are prices that belong to no model (size
classes), to a region or an endpoint we do not call, and what was deprecated by the day of the fetch.
"""

import json
import re
import zipfile
from decimal import Decimal

PRICES = "litellm/model_prices_and_context_window_backup.json"

# litellm's name of a provider: ours, and the prefix of its keys.
PROVIDERS = {
    "ai21": ("ai21", ""),
    "anthropic": ("anthropic", ""),
    "azure": ("azure", "azure/"),
    "baseten": ("baseten", "baseten/"),
    "bedrock": ("bedrock", ""),
    "bedrock_converse": ("bedrock", ""),
    "cerebras": ("cerebras", "cerebras/"),
    "cloudflare": ("cloudflare", "cloudflare/"),
    "cohere": ("cohere", "cohere/"),
    "cohere_chat": ("cohere", ""),
    "dashscope": ("dashscope", "dashscope/"),
    "databricks": ("databricks", "databricks/"),
    "deepinfra": ("deepinfra", "deepinfra/"),
    "deepseek": ("deepseek", "deepseek/"),
    "featherless_ai": ("featherless", "featherless_ai/"),
    "fireworks_ai": ("fireworks", "fireworks_ai/"),
    "fireworks_ai-embedding-models": ("fireworks", "fireworks_ai/"),
    "friendliai": ("friendli", "friendliai/"),
    "gemini": ("gemini", "gemini/"),
    "groq": ("groq", "groq/"),
    "hyperbolic": ("hyperbolic", "hyperbolic/"),
    "inception": ("inception", "inception/"),
    "lambda_ai": ("lambda", "lambda_ai/"),
    "meta_llama": ("llama", "meta_llama/"),
    "minimax": ("minimax", "minimax/"),
    "mistral": ("mistral", "mistral/"),
    "moonshot": ("moonshot", "moonshot/"),
    "nebius": ("nebius", "nebius/"),
    "novita": ("novita", "novita/"),
    "nscale": ("nscale", "nscale/"),
    "openai": ("openai", ""),
    "ovhcloud": ("ovhcloud", "ovhcloud/"),
    "perplexity": ("perplexity", "perplexity/"),
    "sambanova": ("sambanova", "sambanova/"),
    "scaleway": ("scaleway", "scaleway/"),
    "together_ai": ("together", "together_ai/"),
    "vercel_ai_gateway": ("vercel", "vercel_ai_gateway/"),
    "vertex_ai-language-models": ("vertex", "vertex_ai/"),
    "volcengine": ("volcengine", "volcengine/"),
    "wandb": ("wandb", "wandb/"),
    "xai": ("xai", "xai/"),
    "zai": ("zai", "zai/"),
}

# Prices for a class of sizes, fine-tuned models (whose name is the owner's), and marks of another platform's releases.
NO_MODEL = re.compile(r"^(together-ai-|together-ai$|fireworks-ai-|ft:)|(^|-)(up-to|default)(-|$)|@\d+$")
# `azure/eu/gpt-4o`, `bedrock/us-east-1/...`: another price for the same name, by region or kind of deployment.
BY_REGION = {"azure", "bedrock"}
# Models whose answer is sound, a picture or a live session are listed as chat too, and do not answer a chat call.
NOT_CHAT = re.compile(
    r"realtime|-audio|-tts|-transcribe|live-|-live|native-audio"
    r"|image-generation|-image\b|lyria|veo-|flux|stable-diffusion|playground-v"
)


def read(wheel):
    """The price file in a wheel, its numbers exact."""
    with zipfile.ZipFile(wheel) as archive:
        return json.loads(archive.read(PRICES), parse_float=Decimal)


def licence(wheel):
    """The licence of the release, as it must go with its data."""
    with zipfile.ZipFile(wheel) as archive:
        [path] = [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        return archive.read(path).decode()


def entries(prices, date):
    """`(provider, name, figures)` of every model we can call, sorted; one for each name."""
    found = {}
    for key, figures in prices.items():
        ours = PROVIDERS.get(figures.get("litellm_provider"))
        if ours is None or not answers(key, figures):
            continue
        provider, prefix = ours
        if figures.get("deprecation_date", "9999") <= date:
            continue
        name = key.removeprefix(prefix)
        if NO_MODEL.search(name) or (provider in BY_REGION and "/" in name):
            continue
        # Where the same model is there with and without the prefix, the prefixed entry is the kept one upstream.
        if (provider, name) not in found or key.startswith(prefix or "\0"):
            found[provider, name] = figures
    return [(provider, name, found[provider, name]) for provider, name in sorted(found)]


def answers(key, figures):
    """Whether it answers calls that we make: chat, or embeddings."""
    mode = figures.get("mode")
    endpoints = figures.get("supported_endpoints") or []
    if mode == "responses":
        return "/v1/chat/completions" in endpoints
    if mode == "chat":
        only_elsewhere = endpoints and not any("chat/completions" in endpoint for endpoint in endpoints)
        return not only_elsewhere and not NOT_CHAT.search(key) and "embed" not in key
    return mode == "embedding"
