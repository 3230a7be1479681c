"""Workers in processes of their own, the mail server that they deliver to, and the judgement on what it accepted."""
