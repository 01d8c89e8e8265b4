"""Every `config.pbtxt`, label file and adapter, generated from declarations."""
