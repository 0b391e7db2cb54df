"""Gemini's generateContent requests as types (by those of `google-genai` 3.6.1); unknown names are refused."""

import re
from typing import Annotated, Any, Literal

import msgspec

FREE = frozenset({"args", "response", "parametersJsonSchema", "responseJsonSchema", "default", "example"})
"""Values that belong to the caller: their keys are never touched."""
NAMED = frozenset({"properties"})
"""Maps whose keys are the caller's names; their values are ours."""
_SNAKE = re.compile(r"_([a-z0-9])")


class _Strict(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """A message of this wire."""


class Blob(_Strict):
    """Bytes."""

    mime_type: str
    data: str
    display_name: str | None = None


class FileData(_Strict):
    """An address."""

    file_uri: str
    mime_type: str | None = None
    display_name: str | None = None


class FunctionCall(_Strict):
    """A call that the model made."""

    name: str
    args: dict[str, Any] = {}
    id: str | None = None


class FunctionResponse(_Strict):
    """What a function gave back."""

    name: str
    response: dict[str, Any]
    id: str | None = None
    parts: list[dict[str, Any]] | None = None


class Part(_Strict):
    """Exactly one of its data fields is set."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    media_resolution: dict[str, Any] | None = None
    video_metadata: dict[str, Any] | None = None

    @property
    def kinds(self) -> int:
        """How many of its data fields are set."""
        found = (self.text, self.inline_data, self.file_data, self.function_call, self.function_response)
        return sum(one is not None for one in found)


class Content(_Strict):
    """One turn."""

    parts: list[Part] = []
    role: Literal["user", "model", "function"] | None = None


class Schema(_Strict):
    """The subset of OpenAPI 3.0 that `parameters` and `responseSchema` take; anything else is an unknown name."""

    type: str | None = None
    format: str | None = None
    title: str | None = None
    description: str | None = None
    nullable: bool | None = None
    enum: list[str] | None = None
    max_items: int | str | None = None
    min_items: int | str | None = None
    properties: dict[str, "Schema"] | None = None
    required: list[str] | None = None
    min_properties: int | str | None = None
    max_properties: int | str | None = None
    min_length: int | str | None = None
    max_length: int | str | None = None
    pattern: str | None = None
    example: Any = None
    any_of: list["Schema"] | None = None
    property_ordering: list[str] | None = None
    default: Any = None
    items: "Schema | None" = None
    minimum: float | None = None
    maximum: float | None = None
    additional_properties: Any = None


class FunctionDeclaration(_Strict):
    """A function that may be called."""

    name: str
    description: str | None = None
    parameters: Schema | None = None
    parameters_json_schema: dict[str, Any] | None = None
    response: Any = None
    behavior: str | None = None


class Tool(_Strict):
    """Functions; this sandbox has no tools of its own."""

    function_declarations: list[FunctionDeclaration] = []


class FunctionCallingConfig(_Strict):
    """How functions are to be used."""

    mode: Literal["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"] = "AUTO"
    allowed_function_names: list[str] | None = None


class ToolConfig(_Strict):
    """Holds it."""

    function_calling_config: FunctionCallingConfig | None = None


class ThinkingConfig(_Strict):
    """Whether the model shows its thoughts."""

    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None


class GenerationConfig(_Strict):
    """How to answer."""

    stop_sequences: list[str] | None = None
    response_mime_type: str | None = None
    response_schema: Schema | None = None
    response_json_schema: dict[str, Any] | None = None
    response_modalities: list[str] | None = None
    candidate_count: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_k: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_logprobs: bool | None = None
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    thinking_config: ThinkingConfig | None = None
    media_resolution: str | None = None


class SafetySetting(_Strict):
    """What to block."""

    category: str
    threshold: str


class GenerateCall(_Strict):
    """A request to `:generateContent` or `:streamGenerateContent`."""

    contents: list[Content]
    system_instruction: Content | None = None
    tools: list[Tool] | None = None
    tool_config: ToolConfig | None = None
    generation_config: GenerationConfig = msgspec.field(default_factory=GenerationConfig)
    safety_settings: list[SafetySetting] | None = None
    cached_content: str | None = None
    service_tier: str | None = None
    labels: dict[str, str] | None = None

    @property
    def functions(self) -> list[FunctionDeclaration]:
        """All functions on offer."""
        return [one for tool in self.tools or () for one in tool.function_declarations]


def camel(value: Any, *, keys_are_ours: bool = True) -> Any:
    """The value with snake_case keys as camelCase, since this wire takes both; what is the caller's stays.

    >>> camel({"generation_config": {"top_p": 1}, "args": {"a_b": 2}})
    {'generationConfig': {'topP': 1}, 'args': {'a_b': 2}}
    """
    if isinstance(value, list):
        return [camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, inner in value.items():
        name = _SNAKE.sub(lambda found: found[1].upper(), key) if keys_are_ours else key
        free = keys_are_ours and name in FREE
        found[name] = inner if free else camel(inner, keys_are_ours=not (keys_are_ours and name in NAMED))
    return found
