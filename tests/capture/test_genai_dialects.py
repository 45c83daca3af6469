"""Every dialect of GenAI telemetry says the same: what was asked, what was answered, by which model, at what cost."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.capture.drafts import Limits, interaction_of
from flywheel.capture.genai import flatten, interaction_from_attributes, is_model_call
from flywheel.capture.genai_feedback import feedback_from_attributes, feedback_from_event

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
SYSTEM, USER = {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Weather in Paris?"}


def read(attributes, events=(), **span):
    return interaction_from_attributes(attributes, trace_id=TRACE, span_id=SPAN, events=events, **span)


TODAY = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.output_tokens": 5,
    "gen_ai.usage.cache_read.input_tokens": 8,
    "gen_ai.usage.reasoning.output_tokens": 2,
    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be kind."}]),
    "gen_ai.input.messages": json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "Weather in Paris?"}]}]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "Rainy."}], "finish_reason": "stop"}]
    ),
    "gen_ai.response.finish_reasons": ["stop"],
}
EVENTS_136 = (
    {"name": "gen_ai.system.message", "attributes": {"gen_ai.system": "openai", "content": "Be kind."}},
    {"name": "gen_ai.user.message", "attributes": {"gen_ai.system": "openai"}, "body": {"content": USER["content"]}},
    {
        "name": "gen_ai.choice",
        "attributes": {"gen_ai.system": "openai"},
        "body": {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Rainy."}},
    },
)
DETAILS = (
    {
        "name": "gen_ai.client.inference.operation.details",
        "attributes": {key: value for key, value in TODAY.items() if "messages" in key or "instructions" in key},
    },
)
BASE = {
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.prompt_tokens": 20,
    "gen_ai.usage.completion_tokens": 5,
}
OPENLLMETRY = {
    **BASE,
    "llm.request.type": "chat",
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "Be kind.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": "Weather in Paris?",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "Rainy.",
    "gen_ai.completion.0.finish_reason": "stop",
    "traceloop.workflow.name": "weather",
    "traceloop.association.properties.session_id": "s-1",
    "traceloop.association.properties.tier": "gold",
}
CONTENT_EVENTS = (
    {"name": "gen_ai.content.prompt", "attributes": {"gen_ai.prompt": json.dumps([SYSTEM, USER])}},
    {
        "name": "gen_ai.content.completion",
        "attributes": {"gen_ai.completion": json.dumps([{"role": "assistant", "content": "Rainy."}])},
    },
)
OPENINFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.provider": "openai",
    "llm.model_name": "gpt-4o",
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Be kind.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.contents.0.message_content.type": "text",
    "llm.input_messages.1.message.contents.0.message_content.text": "Weather in Paris?",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "Rainy.",
    "llm.token_count.prompt": 20,
    "llm.token_count.completion": 5,
    "llm.invocation_parameters": '{"temperature": 0.2}',
    "input.value": '{"messages": []}',
    "input.mime_type": "application/json",
    "output.value": "{}",
    "session.id": "s-1",
    "metadata": '{"tier": "gold", "nested": {"a": 1}}',
}
VERCEL = {
    "ai.operationId": "ai.generateText.doGenerate",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.output_tokens": 5,
    "ai.prompt.messages": json.dumps(
        [SYSTEM, {"role": "user", "content": [{"type": "text", "text": "Weather in Paris?"}]}]
    ),
    "ai.response.text": "Rainy.",
    "ai.telemetry.metadata.sessionId": "s-1",
    "ai.telemetry.metadata.tier": "gold",
}
LANGFUSE = {
    "langfuse.observation.type": "generation",
    "langfuse.observation.model.name": "gpt-4o",
    "langfuse.observation.input": json.dumps([SYSTEM, USER]),
    "langfuse.observation.output": json.dumps({"role": "assistant", "content": "Rainy."}),
    "langfuse.session.id": "s-1",
    "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.output_tokens": 5,
}
MLFLOW = {
    "mlflow.spanType": '"CHAT_MODEL"',
    "mlflow.spanInputs": json.dumps({"messages": [SYSTEM, USER], "model": "gpt-4o"}),
    "mlflow.spanOutputs": json.dumps(
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Rainy."}}]}
    ),
    "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.output_tokens": 5,
    "gen_ai.response.model": "gpt-4o",
}
LOGFIRE = {
    **BASE,
    "gen_ai.operation.name": "chat",
    "events": json.dumps(
        [
            {"event.name": "gen_ai.system.message", "content": "Be kind.", "role": "system"},
            {"event.name": "gen_ai.user.message", "content": "Weather in Paris?", "role": "user"},
            {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "Rainy."}},
        ]
    ),
}
ANSWER = '[{"role":"assistant","content":"Rainy."}]'
DIALECTS = {
    "today": (TODAY, ()),
    "details event": ({key: value for key, value in TODAY.items() if "messages" not in key}, DETAILS),
    "message events to 1.36": (BASE | {"gen_ai.operation.name": "chat"}, EVENTS_136),
    "content events": (BASE, CONTENT_EVENTS),
    "prompt as JSON": (
        BASE | {"gen_ai.prompt": json.dumps([SYSTEM, USER]), "gen_ai.completion": ANSWER},
        (),
    ),
    "OpenLLMetry": (OPENLLMETRY, ()),
    "OpenInference": (OPENINFERENCE, ()),
    "Vercel": (VERCEL, ()),
    "Langfuse": (LANGFUSE, ()),
    "MLflow": (MLFLOW, ()),
    "Logfire": (LOGFIRE, ()),
}  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_tells_the_same_conversation(name):
    attributes, events = DIALECTS[name]
    draft = read(attributes, events)
    assert draft["input"] == [SYSTEM, USER]
    assert draft["output"] == "Rainy."
    assert draft["model"] == "gpt-4o"
    assert (draft["context"]["tokens_in"], draft["context"]["tokens_out"]) == (20, 5)
    assert draft["id"] == f"{TRACE}-{SPAN}"
    interaction_of({key: value for key, value in draft.items() if key != "kind"}, Limits(1_000_000))
    leftovers = draft["extra"].get("attributes", {})
    assert not any("Rainy" in str(value) for value in leftovers.values())


@pytest.mark.parametrize("name", ["OpenLLMetry", "OpenInference", "Vercel"])
def test_what_the_product_adds_is_context_and_the_conversation_is_the_session(name):
    draft = read(*DIALECTS[name])
    assert draft["session"] == "s-1"
    assert draft["context"]["tier"] == "gold"
    assert not any("session" in key for key in draft["context"])


@pytest.mark.parametrize(
    "attributes",
    [
        {**OPENLLMETRY, "gen_ai.user": "ana"},
        {**OPENINFERENCE, "llm.invocation_parameters": '{"model": "m", "user": "ana"}'},
        {**OPENINFERENCE, "llm.invocation_parameters": '{"safety_identifier": "ana"}'},
        {**TODAY, "enduser.id": "ana"},
        {**VERCEL, "ai.telemetry.metadata.userId": "ana"},
        {**LANGFUSE, "langfuse.user.id": "ana"},
    ],
)
def test_the_user_is_named_as_the_user_and_nowhere_else(attributes):
    draft = read(attributes)
    assert draft.pop("user") == "ana"
    assert "ana" not in json.dumps(draft, default=str)


def test_tokens_parameters_and_nested_metadata_are_kept():
    assert read(TODAY)["context"] | {"tokens_cached": 8, "tokens_reasoning": 2} == read(TODAY)["context"]
    draft = read(OPENINFERENCE)
    assert draft["context"]["temperature"] == 0.2
    assert draft["extra"]["nested"] == {"a": 1}


CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}],
}
RESULT = {"role": "tool", "content": "rain", "tool_call_id": "c1"}


TOOLS = {
    "today": {
        **BASE,
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": json.dumps(
            [
                {"role": "user", "parts": [{"type": "text", "content": "Weather in Paris?"}]},
                {
                    "role": "assistant",
                    "parts": [{"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Paris"}}],
                },
                {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "rain"}]},
            ]
        ),
    },
    "OpenLLMetry": {
        **BASE,
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "Weather in Paris?",
        "gen_ai.prompt.1.role": "assistant",
        "gen_ai.prompt.1.tool_calls.0.id": "c1",
        "gen_ai.prompt.1.tool_calls.0.name": "weather",
        "gen_ai.prompt.1.tool_calls.0.arguments": '{"city": "Paris"}',
        "gen_ai.prompt.2.role": "tool",
        "gen_ai.prompt.2.content": "rain",
        "gen_ai.prompt.2.tool_call_id": "c1",
    },
    "OpenInference": {
        "openinference.span.kind": "LLM",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "Weather in Paris?",
        "llm.input_messages.1.message.role": "assistant",
        "llm.input_messages.1.message.tool_calls.0.tool_call.id": "c1",
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.name": "weather",
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.arguments": '{"city": "Paris"}',
        "llm.input_messages.2.message.role": "tool",
        "llm.input_messages.2.message.content": "rain",
        "llm.input_messages.2.message.tool_call_id": "c1",
    },
    "Vercel": {
        **BASE,
        "ai.prompt.messages": json.dumps(
            [
                USER,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "tool-call", "toolCallId": "c1", "toolName": "weather", "args": {"city": "Paris"}}
                    ],
                },
                {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "c1", "result": "rain"}]},
            ]
        ),
    },
    "Anthropic blocks": {
        **BASE,
        "gen_ai.prompt": json.dumps(
            [
                USER,
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Paris"}}],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "rain"}]},
            ]
        ),
    },
}


@pytest.mark.parametrize("name", TOOLS)
def test_tool_calls_and_results_are_in_the_chat_form(name):
    assert read(TOOLS[name])["input"] == [USER, CALL, RESULT]


def test_a_called_tool_is_the_answer():
    parts = [{"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Paris"}}]
    said = json.dumps([{"role": "assistant", "parts": parts, "finish_reason": "tool_call"}])
    draft = read({**TODAY, "gen_ai.output.messages": said, "gen_ai.response.finish_reasons": ["tool_calls"]})
    assert draft["output"] == CALL
    assert draft["context"]["finish_reason"] == "tool_calls"


def test_several_choices_are_all_kept():
    messages = [{"role": "assistant", "parts": [{"type": "text", "content": text}]} for text in ("one", "two")]
    output = read({**TODAY, "gen_ai.output.messages": json.dumps(messages)})["output"]
    assert output["content"] == "one"
    assert [choice["content"] for choice in output["choices"]] == ["one", "two"]


def test_images_files_and_reasoning_are_kept():
    parts = [
        {"type": "text", "content": "What is this?"},
        {"type": "blob", "modality": "image", "mime_type": "image/jpeg", "content": "aGk="},
        {"type": "uri", "modality": "image", "uri": "https://example.org/a.png"},
        {"type": "file", "modality": "document", "file_id": "f-1"},
        {"type": "something_new", "value": 3},
    ]
    said = [{"type": "reasoning", "content": "Let me see."}, {"type": "text", "content": "A cat."}]
    draft = read(
        {**TODAY, "gen_ai.input.messages": json.dumps([{"role": "user", "parts": parts}]),
         "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": said}])}
    )  # fmt: skip
    assert draft["input"][1]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,aGk="}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "file", "file": {"file_id": "f-1"}},
        {"type": "something_new", "value": 3},
    ]
    assert draft["output"] == "A cat."
    assert draft["extra"]["reasoning"] == "Let me see."


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"gen_ai.response.finish_reasons": ["content_filter"]}, "refusal: content_filter"),
        ({"error.type": "RateLimitError"}, "RateLimitError"),
        (
            {"gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"refusal","refusal":"I cannot."}]}]'},
            "refusal: I cannot.",
        ),
    ],
)
def test_refusals_and_errors_are_errors(change, error):
    assert read({**TODAY, **change})["error"] == error


def test_a_failed_span_says_why():
    event = {"name": "exception", "attributes": {"exception.type": "openai.APIError", "exception.message": "503"}}
    assert read(TODAY, [event], failed=True)["error"] == "openai.APIError: 503"
    assert (
        read({**TODAY, "error.type": "timeout"}, failed=True, status_message="after 30 s")["error"]
        == "timeout: after 30 s"
    )
    assert read(TODAY, failed=True)["error"] == "error"
    assert "error" not in read(TODAY, [event])  # it was caught


def test_times_become_moment_and_latency():
    draft = read(TODAY, start=1_700_000_000_000_000_000, end=1_700_000_000_812_500_000)
    assert draft["at"].isoformat() == "2023-11-14T22:13:20+00:00"
    assert draft["latency_ms"] == 812.5
    backwards = read(TODAY, start=1_700_000_000_000_000_000, end=1_600_000_000_000_000_000)
    assert "latency_ms" not in backwards


@pytest.mark.parametrize(
    ("attributes", "root", "kept"),
    [
        ({"gen_ai.operation.name": "chat"}, False, True),
        ({"gen_ai.operation.name": "text_completion"}, False, True),
        ({"gen_ai.operation.name": "generate_content"}, False, True),
        ({"gen_ai.operation.name": "embeddings", "gen_ai.system": "x", "gen_ai.request.model": "m"}, True, False),
        ({"gen_ai.operation.name": "execute_tool"}, True, False),
        ({"gen_ai.operation.name": "invoke_agent"}, True, True),
        ({"gen_ai.operation.name": "invoke_agent"}, False, False),
        ({"openinference.span.kind": "LLM"}, False, True),
        ({"openinference.span.kind": "CHAIN", "input.value": "x"}, True, False),
        ({"openinference.span.kind": "AGENT"}, True, True),
        ({"openinference.span.kind": "EMBEDDING", "llm.system": "x", "llm.model_name": "m"}, True, False),
        ({"traceloop.span.kind": "workflow", "traceloop.entity.input": "{}"}, True, False),
        ({"llm.request.type": "completion"}, False, True),
        ({"llm.request.type": "embedding"}, False, False),
        ({"gen_ai.system": "x", "gen_ai.request.model": "m"}, False, True),
        ({"http.request.method": "GET"}, True, False),
        ({}, True, False),
    ],
)
def test_which_spans_are_interactions(attributes, root, kept):
    assert is_model_call(attributes, root=root) is kept
    draft = interaction_from_attributes(attributes, parent_span_id=None if root else "00f067aa0ba902b7")
    assert (draft is not None) is kept


def test_nested_attributes_of_exports_are_flattened():
    nested = {
        "openinference": {"span": {"kind": "LLM"}},
        "llm": {
            "model_name": "m",
            "input_messages": [{"message": {"role": "user", "content": "a"}}],
            "output_messages": [{"message": {"role": "assistant", "content": "b"}}],
        },
    }
    draft = read(flatten(nested))
    assert (draft["input"], draft["output"], draft["model"]) == ([{"role": "user", "content": "a"}], "b", "m")


def test_the_completions_api_is_text():
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.prompts.0.prompt.text": "def f",
        "llm.choices.0.completion.text": "(x)",
    }
    draft = read(attributes)
    assert (draft["input"], draft["output"]) == ("def f", "(x)")


def test_input_value_is_taken_where_there_are_no_messages():
    attributes = {"openinference.span.kind": "LLM", "input.value": '{"q": 1}', "input.mime_type": "application/json"}
    assert read({**attributes, "output.value": "[sic]", "output.mime_type": "text/plain"})["output"] == "[sic]"
    assert read(attributes)["input"] == {"q": 1}


def test_text_that_is_all_structure_stays_text():
    crowded = "[" + "[]," * 60_000 + "[]]"
    draft = read({"openinference.span.kind": "LLM", "input.value": crowded, "input.mime_type": "application/json"})
    assert draft["input"] == crowded
    long = json.dumps({"q": "a, b, [c] " * 3_000 + "x" * 100_000})
    assert isinstance(read({"openinference.span.kind": "LLM", "input.value": long})["input"], dict)


# --- feedback ---


def test_openinference_annotations_are_feedback():
    attributes = {
        "evaluations.0.evaluation.name": "relevance",
        "evaluations.0.evaluation.score": 0.9,
        "evaluations.0.evaluation.annotator_kind": "CODE",
        "annotations.0.annotation.name": "thumbs",
        "annotations.0.annotation.label": "thumbs-down",
        "annotations.0.annotation.explanation": "Wrong city.",
        "annotations.0.annotation.annotator_kind": "HUMAN",
    }
    told = list(feedback_from_attributes(attributes, trace_id=TRACE, span_id=SPAN))
    assert [draft["interaction_id"] for draft in told] == [f"{TRACE}-{SPAN}"] * 2
    assert (told[0]["source"], told[0]["outcome"]) == ("system", {"relevance": 0.9})
    assert (told[1]["source"], told[1]["rating"], told[1]["comment"]) == ("user", -1, "Wrong city.")


@pytest.mark.parametrize(
    ("name", "attributes", "said"),
    [
        ("gen_ai.user.feedback", {"rating": -1, "comment": "No."}, {"rating": -1, "comment": "No."}),
        ("user_feedback", {"label": "thumbs_up"}, {"rating": 1}),
        ("gen_ai.evaluation.relevance", {"gen_ai.evaluation.score": 4.0}, {"outcome": {"relevance": 4.0}}),
        (
            "gen_ai.evaluation.result",
            {"gen_ai.evaluation.name": "Fit", "gen_ai.evaluation.score.label": "pass"},
            {"outcome": {"Fit": "pass"}},
        ),
    ],
)
def test_events_of_feedback(name, attributes, said):
    draft = feedback_from_event(name, attributes, trace_id=TRACE, span_id=SPAN)
    assert {key: draft[key] for key in said} == said
    assert draft["id"] == feedback_from_event(name, attributes, trace_id=TRACE, span_id=SPAN)["id"]


def test_feedback_about_nothing_is_none():
    result = "gen_ai.evaluation.result"
    assert feedback_from_event(result, {"gen_ai.evaluation.name": "Fit", "gen_ai.evaluation.score.value": 1}) is None
    assert feedback_from_event(result, {"gen_ai.evaluation.name": "Fit"}, trace_id=TRACE, span_id=SPAN) is None


# --- anything ---

WORDS = ["role", "content", "parts", "type", "text", "message", "tool_calls", "function", "name", "id", "messages"]
WORDS += ["message_content", "image", "arguments", "choices", "result", "reasoning", "refusal", "finish_reason"]
KEYS = st.sampled_from(WORDS) | st.text(max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)
NAMES = sorted(
    {name for attributes, _ in DIALECTS.values() for name in attributes} | {"gen_ai.prompt", "gen_ai.completion"}
)


@pytest.mark.slow
@given(
    st.dictionaries(st.sampled_from(NAMES), VALUES | VALUES.map(json.dumps), max_size=8),
    st.lists(
        st.fixed_dictionaries(
            {
                "name": st.sampled_from([event["name"] for event in (*EVENTS_136, *CONTENT_EVENTS, *DETAILS)]),
                "attributes": st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=3),
                "body": VALUES,
            }
        ),
        max_size=3,
    ),
)
def test_no_content_breaks_the_reader(attributes, events):
    draft = interaction_from_attributes({"gen_ai.operation.name": "chat", **attributes}, events=events, any_span=True)
    assert draft["kind"] == "interaction"
    assert isinstance(draft.get("error"), str | None)
    json.dumps(draft["input"]), json.dumps(draft["output"]), json.dumps(draft["extra"])
    assert not any(isinstance(value, dict | list) for value in draft["context"].values())
