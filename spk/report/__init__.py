"""Result tables and figures."""
