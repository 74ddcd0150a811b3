"""Chat templates of the vision-language families, as their checkpoints have them."""

PARTS = "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}"
PICTURES_FIRST = (
    "{% for p in m.content %}{% if p.type == 'image' %}{{ '<image>\n' }}{% endif %}{% endfor %}"
) + PARTS
IN_ORDER = (
    "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}"
    "{% elif p.type == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
)
LLAVA_CHAT = (
    "{% for m in messages %}{{ m.role | upper + ': ' if m.role != 'system' else '' }}"
    + PICTURES_FIRST
    + "{{ ' ' }}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
MISTRAL_CHAT = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ '<<SYS>>\n' }}"
    + PARTS
    + "{{ '\n<</SYS>>\n\n' }}{% elif m.role == 'user' %}{{ '[INST] ' }}"
    + PICTURES_FIRST
    + "{{ ' [/INST]' }}{% else %}{{ ' ' }}"
    + PARTS
    + "{{ eos_token }}{% endif %}{% endfor %}"
)
DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
)
CHATML_OPENS = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
CHATML_ENDS = (
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PANGEA_CHAT = DEFAULT_SYSTEM + CHATML_OPENS + PICTURES_FIRST + CHATML_ENDS
ONEVISION_CHAT = (  # a space after the role, no system message of its own
    CHATML_OPENS.replace("'\n'", "' '")
    + PICTURES_FIRST
    + CHATML_ENDS.replace(">\n' }}{% endf", ">' }}{% endf")
)
QWEN_CHAT = (
    DEFAULT_SYSTEM
    + CHATML_OPENS
    + "{% if m.content is string %}{{ m.content }}{% else %}"
    + IN_ORDER.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>")
    + "{% endif %}"
    + CHATML_ENDS
)
GEMMA3_CHAT = (  # puts the system message into the first turn
    "{{ bos_token }}{% set system = messages[0].role == 'system' %}"
    "{% for m in (messages[1:] if system else messages) %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
    "{% if system and loop.first %}{% set s = messages[0].content %}"
    "{{ (s if s is string else s[0].text) + '\n\n' }}{% endif %}"
    "{% if m.content is string %}{{ m.content | trim }}{% else %}"
    "{% for p in m.content %}{% if p.type == 'image' %}{{ '<start_of_image>' }}"
    "{% elif p.type == 'text' %}{{ p.text | trim }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
IDEFICS_CHAT = (
    "{{ bos_token }}{% for m in messages %}{{ m.role | capitalize }}"
    "{{ ':' if m.content[0].type == 'image' else ': ' }}"
    + IN_ORDER
    + "{{ '<end_of_utterance>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
