"""`python -m jobd`: the same as the command `jobd`."""

from jobd.cli.main import main

main()
