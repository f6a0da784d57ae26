using Penstock.Devices;

namespace Penstock.Guests.Tests;

/// <summary>An IDIO-16 card on a socket of its own, with all that a test looks at on this side.</summary>
internal sealed class CardBench : DeviceBench
{
    public CardBench()
        : this(new Idio16Function())
    {
    }

    private CardBench(Idio16Function card)
        : base(card) => Card = card;

    public Idio16Function Card { get; }

    public void SetInputs(ushort levels)
    {
        for (int line = 0; line < Idio16Function.InputCount; line++)
        {
            Card.SetInput(line, (levels >> line & 1) != 0);
        }
    }

    /// <summary>Gives an input the other level.</summary>
    public void Toggle(int line) => Card.SetInput(line, (Card.Inputs >> line & 1) == 0);
}
