"""The doors shaped like OpenAI's: its official clients work on them unchanged."""
