"""Offline providers over small real models; imports nothing of the rest of the house."""
