"""The verifier: given what networks see in a photo and the list of items that is expected, how likely do they belong together?"""
