"""The shipped guess of tokens for each count of `routing.tokens`, before anything is learnt.

Least squares of relative errors on 3,000 pieces of real text in 20 languages, code, Markdown and JSON, counted with
OpenAI's o200k and cl100k (a third as much) and 4 tokens a message (2026-11); no weight below 0. The second list says
how much each count weighs in a usual prompt. What a provider hides in front of tools differs by model: here a first 20
tokens. Counts never seen there, and those that said nothing of their own, have half a token or none.
"""

WEIGHTS: tuple[float, ...] = (
    4.343,  # messages
    20,  # tools
    0,  # words
    0,  # indents
    0,  # humps
    0,  # inside
    0.2202,  # lower
    0.2955,  # upper
    0.9271,  # digit
    0,  # blank
    1.62,  # line
    0.5619,  # stop
    0.6087,  # quote
    0.07799,  # bracket
    0.6481,  # sign
    1.454,  # latin
    0.4372,  # greek
    0.3187,  # cyrillic
    0.4872,  # hebrew
    0.3873,  # arabic
    0.3987,  # indic
    0.4471,  # more
    0,  # mark
    0.9299,  # kana
    0.8147,  # han
    0.7978,  # hangul
    0.9663,  # wide
)
SPREADS: tuple[float, ...] = (
    0.0005449,  # messages
    1e-05,  # tools
    0.2294,  # words
    0.02769,  # indents
    0.0002,  # humps
    2.249,  # inside
    4.148,  # lower
    0.00691,  # upper
    0.002262,  # digit
    0.3555,  # blank
    0.003337,  # line
    0.004417,  # stop
    0.002759,  # quote
    0.00143,  # bracket
    0.003637,  # sign
    0.01315,  # latin
    0.128,  # greek
    0.4292,  # cyrillic
    0.08165,  # hebrew
    0.1463,  # arabic
    0.2403,  # indic
    0.0002,  # more
    0.0002,  # mark
    0.01161,  # kana
    0.0498,  # han
    0.0387,  # hangul
    0.0002,  # wide
)
"""Mean square of each count's share of a prompt's tokens: the scale of the ridges in `routing.learn.fits`."""
