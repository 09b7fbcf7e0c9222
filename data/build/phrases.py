"""What passengers say: invented sentences, by aspect, polarity and number."""

_SAID = {
    ("delay", "bad"): """
        We sat on the tarmac for two hours and nobody said why.
        Third time this month that I missed my connection.
        The departure time moved back every twenty minutes until midnight.
        I could have walked there faster.
        Great, another three hours at the gate. Just what I wanted.
        The board still said on time when we should have been in the air.
        My meeting was over before we had left.
        Boarding was called, then cancelled, then called again.
        The crew had run out of hours, and so had we.
        Wonderful: we waited for a pilot who was in another city.
        No aircraft, no information, no apology.
        An hour's wait became five.
        """,
    ("delay", "good"): """
        We landed twenty minutes ahead of schedule.
        Left to the minute, for once.
        The delay was short and they told us the reason at once.
        Not late at all, in spite of the snow.
        The captain made up all of the lost time.
        I had feared the worst, and we were early.
        Doors closed on the dot.
        They held the connection for us, nobody was left behind.
        A storm came through and still no complaints about the timing.
        The new departure time was right, and we could have lunch in peace.
        Pushed back while other airlines were still waiting.
        Never waited less at this gate.
        """,
    ("bags", "bad"): """
        My suitcase came out with a wheel missing.
        The bag went to Denver without me.
        Forty minutes at the belt and then an empty belt.
        Somebody had opened my luggage and taped it shut.
        They charged me for a carry-on that fits everywhere else.
        Thanks for the free trip of my luggage to another state.
        The stroller was broken in two.
        Nobody at the counter could say where it was.
        My ski bag arrived a week after my holiday.
        The zip was torn off and the claim form was in a language of its own.
        Lovely, my clothes are seeing more of the country than I am.
        The line for lost property went around the hall.
        """,
    ("bags", "good"): """
        My suitcase was on the belt before I was.
        They found my forgotten laptop and sent it on.
        The lost bag was at my door the next morning.
        No fuss about the cello in the cabin.
        Checked in at the curb in two minutes.
        Nothing broken, and the glasses were packed badly.
        The oversized box went through without a fee.
        A handler ran after us with the teddy bear.
        Luggage tags that I can follow on my phone, at last.
        Even the surfboard came out in one piece.
        The claim was paid in three days, I cannot complain.
        First bag out was mine.
        """,
    ("staff", "bad"): """
        The attendant rolled her eyes when I asked for water.
        Nobody answered the call button for the whole trip.
        The agent hung up on me twice.
        They shouted at an old man who did not hear well.
        Such charming people: I was told to read the sign.
        The gate agent laughed when I showed my ticket.
        I asked three people and got four answers.
        Not one word of sorry from anybody.
        Customer service means that you serve yourself.
        The crew talked about their weekend over our heads.
        I was sent from desk to desk like a parcel.
        He told my daughter to stop crying or get off.
        """,
    ("staff", "good"): """
        The crew sang for my father's birthday.
        The attendant sat with my nervous son through the turbulence.
        The agent rebooked all four of us in a minute.
        Somebody walked me all the way to the next gate.
        They could not have been kinder to my mother.
        The pilot came out and explained it himself.
        Nobody has ever been so patient with my bad English.
        A steward carried the baby while I ate.
        The lady at the desk stayed after her shift to help.
        They remembered me from last week.
        I was wrong about the rules, and they stayed polite.
        The whole team smiled at five in the morning.
        """,
    ("seat", "bad"): """
        My knees were in my ears.
        The recline was stuck and so was the tray.
        We had paid to sit together and were ten rows apart.
        There was gum on the armrest.
        The screen showed a blue light all night.
        Cold as a fridge, and they were out of blankets.
        The seat in front lay in my lap.
        I got the middle one although I had booked the aisle.
        The socket had no power and the wifi no signal.
        What a treat, a window seat without a window.
        The cushion was wet and I was told to sit on a newspaper.
        Row 34 smells of the lavatory.
        """,
    ("seat", "good"): """
        More room for the legs than I had hoped for.
        They moved us so that we could sit together.
        An empty row to myself, I slept like a child.
        The new cabin is quiet and the light is soft.
        Power at each seat, and the wifi worked all the way.
        Exit row at no charge, and I am tall.
        The headrest is not bad at all for a short flight.
        Clean, even under the tray.
        The window was huge and the view over the bay unforgettable.
        The old seats are gone, my back says thank you.
        I did not want to get up when we landed.
        My wheelchair was waiting right at the door.
        """,
    ("food", "bad"): """
        The sandwich was frozen in the middle.
        Nothing left for the last ten rows.
        Eight dollars for a bag of nuts.
        They had forgotten the vegetarian meal again.
        The coffee tastes of the pot.
        Delicious, if you like cardboard.
        My child got peanuts in spite of the allergy note.
        One cup of water in six hours.
        The cart came by when we were landing.
        The soup was older than the aircraft.
        I was ill for two days after the chicken.
        A feast: half a biscuit and a napkin.
        """,
    ("food", "good"): """
        Warm bread, real butter.
        The kosher meal was there without a reminder.
        Second helpings for everybody who asked.
        Who would have thought that the curry is that good.
        The coffee was not terrible, it was excellent.
        They had oat milk and a smile to go with it.
        Snacks for the children before we had even left.
        Free ice cream while we waited.
        Breakfast was fresh and came hot.
        I asked for the recipe of the dessert.
        No plastic, real forks.
        The wine list would not shame a restaurant.
        """,
}

#: Sentences by ``aspect-polarity-number``.
PHRASES = {
    f"{aspect}-{polarity}-{number:02}": line.strip()
    for (aspect, polarity), said in _SAID.items()
    for number, line in enumerate(said.strip().splitlines(), 1)
}
