"""How the admin writes dates where Django would choose; what customers read goes through Babel."""
