"""The policies that ship with perpguard: one file each, a frozen value with its settings as fields."""
