"""Tests of tap-stripe-conn."""
