"""The command line: click commands over jobd.client, loaded one at a time."""
