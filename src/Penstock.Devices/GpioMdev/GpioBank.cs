using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// A bank of lines that is handed out in slices: 16 inputs and 16 outputs each, which a mediated device turns into a PCI-IDIO-16 card of its
/// own. The levels of the inputs belong to the bank: they stay when the card of a slice goes. All members may be called from any thread.
/// </summary>
public sealed class GpioBank
{
    private readonly Lock _gate = new();
    private readonly Slice[] _slices;

    /// <summary>Creates a bank with nothing connected.</summary>
    /// <param name="slices">How many slices it has.</param>
    /// <param name="inputs">Levels at the inputs of each slice, bit 0 for input 0.</param>
    public GpioBank(int slices, ushort inputs = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(slices);
        _slices = [.. Enumerable.Range(0, slices).Select(_ => new Slice { Inputs = inputs })];
    }

    /// <summary>
    /// An output has another level: slice, line and level. Raised as <see cref="Idio16Function.OutputChanged"/>, for each slice by itself.
    /// </summary>
    public event Action<int, int, bool>? OutputChanged;

    /// <summary>Number of slices.</summary>
    public int Count => _slices.Length;

    /// <summary>The mediated device that has a slice.</summary>
    /// <param name="slice">0 on.</param>
    /// <returns>The device; null when the slice is free.</returns>
    public MdevDevice? OwnerOf(int slice) => Look(slice, static s => s.Owner);

    /// <summary>The card that a slice is at the moment.</summary>
    /// <param name="slice">0 on.</param>
    /// <returns>The card; null when the slice is free.</returns>
    public Idio16Function? CardOf(int slice) => Look(slice, static s => s.Card);

    /// <summary>Levels at the inputs of a slice, bit 0 for input 0.</summary>
    /// <param name="slice">0 on.</param>
    /// <returns>The levels.</returns>
    public ushort InputsOf(int slice) => Look(slice, static s => s.Inputs);

    /// <summary>Levels that the outputs of a slice are driven to, bit 0 for output 0; none while it is free.</summary>
    /// <param name="slice">0 on.</param>
    /// <returns>The levels.</returns>
    public ushort OutputsOf(int slice) => CardOf(slice)?.Outputs ?? 0;

    /// <summary>Drives an input from outside.</summary>
    /// <param name="slice">0 on.</param>
    /// <param name="line">0 to 15.</param>
    /// <param name="value">Whether it is energised.</param>
    public void SetInput(int slice, int line, bool value)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(line);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(line, Idio16Function.InputCount);
        Slice changed = _slices[slice];

        // Bank and card must not disagree about which of two changes was the last. The lock is the slice's own, as its card may have to wait.
        lock (changed.Order)
        {
            Idio16Function? card;
            lock (_gate)
            {
                int bit = 1 << line;
                changed.Inputs = (ushort)(value ? changed.Inputs | bit : changed.Inputs & ~bit);
                card = changed.Card;
            }

            card?.SetInput(line, value);
        }
    }

    /// <summary>Gives the first free slice to a mediated device.</summary>
    /// <exception cref="VfioException">ENOSPC: none is free.</exception>
    internal (int Slice, Idio16Function Card) Take(MdevDevice owner)
    {
        lock (_gate)
        {
            int free = Array.FindIndex(_slices, static s => s.Owner is null);
            if (free < 0)
            {
                throw new VfioException(Errno.ENOSPC, $"making a card for {owner}", $"all {Count} slices are taken");
            }

            var card = new Idio16Function(_slices[free].Inputs);
            card.OutputChanged += (line, value) => OutputChanged?.Invoke(free, line, value);
            _slices[free].Owner = owner;
            _slices[free].Card = card;
            return (free, card);
        }
    }

    internal void Give(int slice)
    {
        lock (_gate)
        {
            _slices[slice].Owner = null;
            _slices[slice].Card = null;
        }
    }

    private T Look<T>(int slice, Func<Slice, T> ask)
    {
        lock (_gate)
        {
            return ask(_slices[slice]);
        }
    }

    private sealed class Slice
    {
        /// <summary>Taken before the bank's gate.</summary>
        public Lock Order { get; } = new();

        public MdevDevice? Owner { get; set; }

        public Idio16Function? Card { get; set; }

        public ushort Inputs { get; set; }
    }
}
