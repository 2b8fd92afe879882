"""Integer graphs as ``.tflite`` files: single operators for the oracle, whole streaming steps for export.

``model`` is what goes into a file, ``flatbuffer`` its bytes, ``operators`` the translation of each kind, with
``recurrent``, ``norms`` and ``lookup`` for those that TFLite has only in pieces, ``step`` a whole graph, and
``runtime`` runs a file in tflite-micro. Needs the packages of ``tinydsn[oracle]``, imported on first use.
"""
