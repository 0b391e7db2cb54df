"""The prompts of the bench: the same for everyone, about 800 bytes each, no two alike."""

QUESTIONS = (
    "I ordered a new card two weeks ago and it still has not come. Where is it, and what can I do now?",
    "There is a payment on my statement that I do not recognise. How do I stop it and get the money back?",
    "The exchange rate you used for my withdrawal abroad looks wrong. Which rate should it have been?",
    "My transfer has been pending since Monday although you promised one working day. Is it lost?",
)
INSTRUCTION = (
    "Read the customer's message below and name the one category that fits it best. Answer with the name of the "
    "category alone, in lower case, words joined by underscores, and nothing else. If more than one would fit, take "
    "the one that the customer would want solved first. The categories are: card_arrival, card_not_working, "
    "cash_withdrawal_charge, exchange_rate, pending_transfer, declined_transfer, lost_or_stolen_card, "
    "unrecognised_payment, refund_not_showing_up, top_up_failed, verify_identity, change_pin, close_account. "
    "Do not explain your choice. Do not greet the customer. Do not repeat the message. A message that fits none of "
    "them is close_account."
)


def prompts(count: int) -> list[str]:
    """That many prompts of 750 to 850 bytes."""
    return [f"{INSTRUCTION}\n\nTicket {n}: {QUESTIONS[n % len(QUESTIONS)]}" for n in range(count)]


def body(prompt: str, model: str) -> dict[str, object]:
    """A chat-completions body, as every side sends it upstream."""
    return {"model": model, "messages": [{"role": "user", "content": prompt}], "logprobs": True}
