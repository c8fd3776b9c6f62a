"""SockJS, over sockjs-tornado."""
