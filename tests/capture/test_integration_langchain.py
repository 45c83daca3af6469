"""LangChain: the handler logs real runs of real graphs: models, chains, tools, nested, streamed, failed."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from told import Told

pytest.importorskip("langchain_core")
from langchain_core.documents import Document
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.language_models.fake_chat_models import (
    FakeMessagesListChatModel,
    GenericFakeChatModel,
)
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool

from flywheel.capture.integrations import LangChainHandler


@pytest.fixture
def told():
    return Told()


def answering(*messages):
    return GenericFakeChatModel(
        messages=iter([one if isinstance(one, AIMessage) else AIMessage(one) for one in messages])
    )


ANSWER = AIMessage(
    "Hi",
    usage_metadata={
        "input_tokens": 5,
        "output_tokens": 2,
        "total_tokens": 7,
        "input_token_details": {"cache_read": 1},
        "output_token_details": {"reasoning": 1},
    },
    response_metadata={"model_name": "m-1", "finish_reason": "stop"},
)


def config(told, **more):
    return {"callbacks": [LangChainHandler(told, **more)]}


def test_a_model_in_a_chain(told):
    chain = (
        ChatPromptTemplate.from_messages([("system", "Be kind"), ("user", "{q}")])
        | answering(ANSWER)
        | StrOutputParser()
    )
    about = {"metadata": {"session_id": "s1", "user_id": 7, "shop": "x", "deep": {}}, "tags": ["a"]}
    assert chain.invoke({"q": "hello"}, config={**config(told), **about}) == "Hi"
    (seen,) = told.seen
    assert seen["input"] == [{"role": "system", "content": "Be kind"}, {"role": "user", "content": "hello"}]
    assert (seen["output"], seen["model"], seen["session"], seen["user"]) == ("Hi", "m-1", "s1", "7")
    context = seen["context"]
    assert (context["tokens_in"], context["tokens_out"], context["tokens_cached"], context["tokens_reasoning"]) == (
        5,
        2,
        1,
        1,
    )
    assert (context["finish_reason"], context["shop"], context["operation"]) == ("stop", "x", "model")
    assert "a" in seen["extra"]["tags"]
    assert seen["extra"]["parent_run_id"] == seen["extra"]["trace_id"] != seen["extra"]["run_id"] == seen["id"]


def test_nested_runs_know_their_parents(told):
    inner = RunnableLambda(lambda text: text + "!") | answering("one")
    graph = RunnableParallel(a=inner, b=RunnableLambda(str.upper).with_config(run_name="shout"))
    root = uuid.uuid4()
    result = graph.invoke("hi", config={**config(told, runs=["model", "chain"]), "run_id": root})
    assert result["a"].content == "one"
    assert result["b"] == "HI"
    known = {seen["extra"]["run_id"]: seen for seen in told.seen}
    assert {seen["extra"]["trace_id"] for seen in told.seen} == {str(root)}
    for seen in told.seen:
        parent = seen["extra"].get("parent_run_id")
        assert parent in known if parent else seen["id"] == str(root)
    shout = next(seen for seen in told.seen if seen["context"].get("name") == "shout")
    assert (shout["input"], shout["output"]) == ("hi", "HI")
    outer = known[str(root)]
    assert outer["output"] == {"a": {"role": "assistant", "content": "one"}, "b": "HI"}


def test_only_the_outermost_run(told):
    chain = RunnableLambda(lambda text: [("user", text)]) | answering("yes") | StrOutputParser()
    chain.invoke("sure?", config=config(told, runs=["root"]))
    (seen,) = told.seen
    assert (seen["input"], seen["output"]) == ("sure?", "yes")
    assert "parent_run_id" not in seen["extra"]


def test_streamed_tokens(told):
    pieces = [chunk.content for chunk in answering("one two three").stream("count", config=config(told))]
    assert "".join(pieces) == "one two three"
    (seen,) = told.seen
    assert seen["output"] == "one two three"
    assert 0 <= seen["context"]["first_token_ms"] <= seen["latency_ms"]


def test_asynchronous_graphs(told):
    async def run():
        chain = ChatPromptTemplate.from_template("{q}") | answering("a", "b", "c")
        handler = config(told)
        await asyncio.gather(*(chain.ainvoke({"q": str(n)}, config=handler) for n in range(2)))
        return [chunk async for chunk in chain.astream({"q": "s"}, config=handler)]

    assert asyncio.run(run())
    assert sorted(seen["input"][0]["content"] for seen in told.seen) == ["0", "1", "s"]
    assert len({seen["extra"]["trace_id"] for seen in told.seen}) == 3


def test_errors_of_models_and_chains_pass_and_are_logged(told):
    def fail(text):
        raise ValueError("bad wires")

    with pytest.raises(ValueError, match="bad wires"):
        (answering("x") | RunnableLambda(fail)).invoke("hi", config=config(told, runs=["model", "root"]))
    model, root = told.seen
    assert (model["output"], "error" in model) == ("x", False)
    assert (root["error"], root["output"]) == ("ValueError: bad wires", None)
    with pytest.raises(StopIteration):  # it has nothing to say
        answering().invoke("hi", config=config(told))
    assert told.seen[-1]["error"] == "StopIteration"


def test_tool_calls_tools_and_retrievers(told):
    @tool
    def balance(account: str) -> str:
        """Say what is left."""
        return f"{account}: 7"

    class Shelf(BaseRetriever):
        def _get_relevant_documents(self, query, *, run_manager):
            return [Document("page", metadata={"n": 1})]

    call = {"name": "balance", "args": {"account": "x"}, "id": "c1", "type": "tool_call"}
    handler = config(told, runs=["model", "tool", "retriever"])
    FakeMessagesListChatModel(responses=[AIMessage("", tool_calls=[call])]).invoke("how much", config=handler)
    balance.invoke({"account": "x"}, config=handler)
    Shelf().invoke("where", config=handler)
    asked, used, found = told.seen
    assert asked["output"]["tool_calls"][0]["function"]["name"] == "balance"
    assert (used["input"], used["output"], used["context"]["name"]) == ({"account": "x"}, "x: 7", "balance")
    assert found["input"] == "where"
    assert found["output"][0]["page_content"] == "page"


def test_a_model_of_plain_text(told):
    assert FakeListLLM(responses=["four"]).invoke("2+2", config=config(told)) == "four"
    assert (told.seen[0]["input"], told.seen[0]["output"]) == ("2+2", "four")


def test_trouble_stays_inside():
    handler = LangChainHandler(Told(OSError("disk full")))
    assert answering("Hi").invoke("x", config={"callbacks": [handler]}).content == "Hi"
    assert handler.unrecorded == {"OSError": 1}
    assert not handler._open


def test_runs_that_never_end_are_forgotten(told, monkeypatch):
    import flywheel.capture.integrations.langchain as module

    monkeypatch.setattr(module, "_MOST_OPEN", 3)
    handler = LangChainHandler(told)
    for _ in range(10):
        handler.on_llm_start({}, ["x"], run_id=uuid.uuid4())
    assert len(handler._open) == 3
    assert handler.unrecorded == {"runs without an end": 7}


def test_a_choice_of_runs():
    with pytest.raises(ValueError, match="model, root"):
        LangChainHandler(Told(), runs=["llm"])
