using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Testing;

/// <content>Interrupts, as a user receives them.</content>
public sealed partial class FunctionTestBench
{
    private readonly List<InterruptCapture> _captures = [];

    /// <summary>Binds the interrupt pin.</summary>
    /// <returns>What it signals; dispose it to take the binding away.</returns>
    /// <exception cref="VfioException">The function has no pin, or another kind of interrupt is bound.</exception>
    public InterruptCapture CaptureIntx() => Capture(VfioIrqs.Intx, 1);

    /// <summary>Enables MSI and binds its vectors.</summary>
    /// <param name="vectors">How many; 0 for all.</param>
    /// <returns>What they signal; dispose it to disable MSI.</returns>
    /// <exception cref="VfioException">The function has none, or fewer, or another kind of interrupt is bound.</exception>
    public InterruptCapture CaptureMsi(int vectors = 0) => Capture(VfioIrqs.Msi, vectors);

    /// <summary>Enables MSI-X and binds its vectors.</summary>
    /// <param name="vectors">How many; 0 for all.</param>
    /// <returns>What they signal; dispose it to disable MSI-X.</returns>
    /// <exception cref="VfioException">The function has none, or fewer, or another kind of interrupt is bound.</exception>
    public InterruptCapture CaptureMsix(int vectors = 0) => Capture(VfioIrqs.Msix, vectors);

    /// <summary>Binds the vectors of any interrupt index.</summary>
    /// <param name="index">The index, one of <see cref="VfioIrqs"/>.</param>
    /// <param name="vectors">How many vectors; 0 for all.</param>
    /// <returns>What they signal; dispose it to take the bindings away.</returns>
    /// <exception cref="VfioException">The device refuses.</exception>
    public InterruptCapture Capture(int index, int vectors = 0)
    {
        var capture = new InterruptCapture(this, index, vectors == 0 ? (int)File.GetIrqInfo((uint)index).Count : vectors);
        lock (_captures)
        {
            _captures.Add(capture);
        }

        return capture;
    }

    internal void Forget(InterruptCapture capture)
    {
        lock (_captures)
        {
            _captures.Remove(capture);
        }
    }

    private void DropCaptures()
    {
        InterruptCapture[] left;
        lock (_captures)
        {
            left = [.. _captures];
        }

        foreach (InterruptCapture capture in left)
        {
            capture.Dispose();
        }
    }
}
