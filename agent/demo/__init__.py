"""The whole of Doorward on one machine: a rendered doorstep, a doorbell, a broker, an owner and a requester."""
