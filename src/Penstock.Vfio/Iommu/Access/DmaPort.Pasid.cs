namespace Penstock.Vfio;

/// <content>DMA that carries a process address space id.</content>
public sealed partial class DmaPort
{
    private readonly DmaPort? _function;
    private readonly uint _pasid;

    private DmaPort(DmaPort function, uint pasid)
    {
        _function = function;
        _pasid = pasid;
        _group = function._group;
        _device = function._device;
        Strand = function.Strand;
    }

    /// <summary>The function's way to memory for one PASID. What it writes is not part of the function's DMA logging.</summary>
    /// <param name="pasid">The PASID, from 1; blocked until its user attaches it.</param>
    /// <returns>The port; bus mastering and suspension are those of the function.</returns>
    public DmaPort ForPasid(uint pasid) => new(_function ?? this, pasid);
}
