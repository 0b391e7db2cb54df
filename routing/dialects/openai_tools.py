"""Fits tools, the choice among them, and the format of the answer to an accent and a model."""

from collections.abc import Mapping
from typing import Any

import msgspec

from routing.dialects.openai_draft import Draft, Refused
from routing.dialects.references import NOWHERE, settled

STORES = frozenset({"", "$defs", "definitions"})
"""Where references may lead to on this wire: the root, and both names of definitions (openai-node writes the older)."""
SCHEMA_ASKED = "{lacks}: the schema is asked for in the system prompt instead"
JSON_ASKED = "{lacks}: JSON is asked for in the system prompt instead"
JSON_INSTRUCTION = "Answer with one JSON object and nothing else: no prose, no Markdown."
SCHEMA_INSTRUCTION = "Answer with JSON that matches this JSON Schema and nothing else, no prose, no Markdown:\n{schema}"


def fit_tools(draft: Draft) -> None:
    """Tools, tool_choice, parallel_tool_calls. Raises Refused."""
    body = draft.body
    if not body.get("tools"):
        _without_tools(draft)
        return
    if draft.model.has_tools is False:
        raise Refused("tools", "the model can't call tools")
    if not draft.accent.tool_choices:
        raise Refused("tools", "the provider's API has no tools")
    if isinstance(body["tools"], list):
        body["tools"] = [_tool(draft, f"tools[{place}]", tool) for place, tool in enumerate(body["tools"])]
    _fit_choice(draft)


def _without_tools(draft: Draft) -> None:
    """APIs refuse a choice among no tools; it says nothing, unless it asks for a call."""
    body = draft.body
    body.pop("tools", None)
    choice = body.pop("tool_choice", None)
    if choice not in (None, "auto", "none"):
        raise Refused("tool_choice", "it asks for a call, and there are no tools")
    body.pop("parallel_tool_calls", None)


def _tool(draft: Draft, where: str, tool: Any) -> Any:
    if not isinstance(tool, Mapping):
        return tool
    accent = draft.accent
    if tool.get("type") == "custom" and not accent.has_custom_tools:
        raise Refused(where, "the provider's API has no custom tools")
    if "cache_control" in tool and not accent.has_cache_marks:
        draft.told(f"{where}.cache_control", "dropped", "the provider's API has no prompt-cache marks")
        tool = {name: part for name, part in tool.items() if name != "cache_control"}
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool
    fitted = _strict(draft, where, _with_settled(draft, f"{where}.function", "parameters", function))
    return tool if fitted is function else {**tool, "function": fitted}


def _strict(draft: Draft, where: str, function: Mapping[str, Any]) -> Mapping[str, Any]:
    """A function without `strict` where the provider or the model does not know it."""
    if "strict" not in function:
        return function
    accent = draft.accent
    if accent.has_strict_tools and (draft.model.has_strict_tools is not False or not function["strict"]):
        return function
    if function["strict"]:
        lacks = "the model" if accent.has_strict_tools else "the provider's API"
        draft.told(f"{where}.function.strict", "dropped", f"{lacks} does not keep tool schemas by construction")
    return {name: part for name, part in function.items() if name != "strict"}


def _with_settled(draft: Draft, where: str, key: str, holder: Mapping[str, Any]) -> Mapping[str, Any]:
    """What holds a schema under a key, with a schema whose references every provider can follow."""
    schema = holder.get(key)
    if not isinstance(schema, Mapping):
        return holder
    plain, lost = settled(schema, STORES)
    if lost:
        draft.told(f"{where}.{key}", "changed", NOWHERE)
    return holder if plain is schema else {**holder, key: plain}


def _fit_choice(draft: Draft) -> None:
    body, takes = draft.body, draft.accent.tool_choices
    choice = body.get("tool_choice")
    if choice is None:
        return
    form = _form(choice)
    if form == "allowed_tools" and form not in takes:
        choice = _narrowed(draft, choice["allowed_tools"])
        form = choice
    if form in {"required", "named"} and draft.model.has_forced_tools is False:
        raise Refused("tool_choice", "the model can't be made to call a tool")
    if form in takes or form == "":
        return
    if form == "auto":
        del body["tool_choice"]
    elif form == "none":
        del body["tool_choice"], body["tools"]
        draft.drop("parallel_tool_calls", "no tools are given")
        draft.told("tools", "dropped", "tool_choice is none, which the provider's API does not know")
    else:
        _force(draft, form, choice)


def _form(choice: Any) -> str:
    """auto, none, required, named, allowed_tools; empty for what is none of them and is passed on as it is."""
    if isinstance(choice, str):
        return choice if choice in {"auto", "none", "required"} else ""
    kind = choice.get("type") if isinstance(choice, Mapping) else None
    if kind == "allowed_tools":
        return "allowed_tools" if isinstance(choice.get("allowed_tools"), Mapping) else ""
    return "named" if kind == "function" else ""


def _narrowed(draft: Draft, allowed: Mapping[str, Any]) -> str:
    """Give only the allowed tools, and ask in their mode."""
    wanted = {name_of(tool) for tool in allowed.get("tools") or () if isinstance(tool, Mapping)}
    _keep_only(draft, wanted)
    mode = "required" if allowed.get("mode") == "required" else "auto"
    draft.change("tool_choice", mode, "the provider's API can't restrict tools: only the allowed ones are given")
    if not draft.body["tools"]:
        raise Refused("tool_choice", "it allows none of the tools")
    return mode


def _keep_only(draft: Draft, names: set[str | None]) -> None:
    tools = draft.body["tools"]
    for place, tool in enumerate(tools):
        if name_of(tool) not in names:
            draft.told(
                f"tools[{place}]", "dropped", "tool_choice does not allow it, and the provider's API can't say so"
            )
    draft.body["tools"] = [tool for tool in tools if name_of(tool) in names]


def _force(draft: Draft, form: str, choice: Any) -> None:
    """A forced call in a form that is taken: one tool that must be called is the same as a named one."""
    body, takes = draft.body, draft.accent.tool_choices
    tools = body["tools"]
    if form == "named" and "required" in takes and name_of(choice) in {name_of(tool) for tool in tools}:
        _keep_only(draft, {name_of(choice)})
        draft.change("tool_choice", "required", "the provider's API can't name a tool: only that one is given")
        return
    if form == "required" and "named" in takes and len(tools) == 1:
        body["tool_choice"] = {"type": "function", "function": {"name": name_of(tools[0])}}
        return
    raise Refused("tool_choice", "the provider's API can't be made to call a tool")


def name_of(tool: Any) -> str | None:
    """The function's name in a tool, a call or a choice."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else None


def fit_format(draft: Draft) -> None:
    """A schema or JSON that can't be promised by construction is asked for in words; answers are checked later."""
    form = draft.body.get("response_format")
    kind = form.get("type") if isinstance(form, Mapping) else None
    if kind not in ("json_schema", "json_object"):
        return
    wanted = form.get("json_schema") if isinstance(form, Mapping) else None
    wanted = wanted if kind == "json_schema" and isinstance(wanted, Mapping) else {}
    plain = _with_settled(draft, "response_format.json_schema", "schema", wanted)
    if plain is not wanted:
        draft.body["response_format"] = {"type": "json_schema", "json_schema": plain}
    lacks_schema = _lacks(draft.accent.has_json_schema, draft.model.has_json_schema)
    lacks_json = _lacks(draft.accent.has_json_mode, draft.model.has_json_mode)
    if kind == "json_object":
        if lacks_json:
            draft.body.pop("response_format")
            draft.is_json_told = True
            draft.told("response_format", "changed", JSON_ASKED.format(lacks=lacks_json))
            _instruct(draft, JSON_INSTRUCTION)
    elif lacks_schema:
        draft.body["response_format"] = {"type": "json_object"}
        if lacks_json:
            del draft.body["response_format"]
            draft.is_json_told = True
        draft.told("response_format", "changed", SCHEMA_ASKED.format(lacks=lacks_schema))
        schema = msgspec.json.encode(plain.get("schema", {})).decode()
        _instruct(draft, SCHEMA_INSTRUCTION.format(schema=schema))


def _lacks(accent: bool, model: bool | None) -> str:
    """Who can't; empty when both can, as far as is known."""
    if not accent:
        return "the provider's API has no such format"
    return "" if model is not False else "the model has no such format"


def _instruct(draft: Draft, instruction: str) -> None:
    """Add a sentence to the first system message when there is one, else put one before all others."""
    first, *rest = draft.body["messages"]
    content = first.get("content")
    if first.get("role") in {"system", "developer"} and isinstance(content, str) and content:
        draft.body["messages"] = [{**first, "content": f"{content}\n\n{instruction}"}, *rest]
        draft.told("messages[0].content", "changed", "it ends with what the answer should look like")
    else:
        draft.body["messages"] = [{"role": "system", "content": instruction}, first, *rest]
        draft.told("messages", "added", "a system message says what the answer should look like")
