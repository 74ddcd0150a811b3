"""A question on a picture, as the tests of tiny vision-language models ask it."""

from tests.helpers.reference_vlm import processed
from tests.helpers.tiny_vlm import picture, tiny_processor

FOOD = "Which food do people in Japan usually eat? A. rice B. bread"
WHERE = "Where is it?"
SQUARE, WIDE, TALL = (40, 40), (60, 20), (20, 60)  # width, height


def prompt(processor, question=FOOD, pictured=True):
    content = [{"type": "image"}] * pictured + [{"type": "text", "text": question}]
    conversation = [{"role": "user", "content": content}]
    return processor.tokenizer.apply_chat_template(
        conversation, tokenize=False, add_generation_prompt=True
    )


def item(architecture, question=FOOD, seed=1, size=SQUARE):
    processor = tiny_processor(architecture)
    return processed(processor, prompt(processor, question), picture(seed, *size))
