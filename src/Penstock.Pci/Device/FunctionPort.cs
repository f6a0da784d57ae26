using Penstock.Vfio;

namespace Penstock.Pci;

/// <summary>The slot of a <see cref="VfioPciCoreDevice"/>, as the function in it sees it.</summary>
internal sealed class FunctionPort(VfioPciCoreDevice device, DmaPort dma) : PciFunctionPort
{
    public override Strand Strand => device.Line;

    public override DmaPort Dma => dma;

    public override bool UsesVectors => device.UsesVectors;

    public override bool UsesPin => device.UsesPin;

    public override void SetIntx(bool asserted) => device.SetIntx(asserted);

    public override void SignalVector(int vector) => device.SignalVector(vector);
}
