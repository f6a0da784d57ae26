namespace Penstock.Specs.Zpci;

/// <summary>
/// Operation codes of the zPCI instructions. Those of four bytes have theirs in the first two bytes, those of six bytes in the first and the
/// last one.
/// </summary>
public enum ZpciOpcode : ushort
{
    /// <summary>None of them.</summary>
    None = 0,

    /// <summary>CLP: calls logical processor; r2 holds the address of the block.</summary>
    CallLogicalProcessor = 0xb9a0,

    /// <summary>PCISTG: stores r1 at r2 (what) and r2+1 (offset).</summary>
    Store = 0xb9d0,

    /// <summary>PCILG: loads r1 from r2 (what) and r2+1 (offset).</summary>
    Load = 0xb9d2,

    /// <summary>RPCIT: refreshes translations of r1 from r2 on, as long as r2+1.</summary>
    Refresh = 0xb9d3,

    /// <summary>Store by address (MIO); never offered.</summary>
    StoreMio = 0xb9d4,

    /// <summary>Barrier of stores by address (MIO); never offered.</summary>
    BarrierMio = 0xb9d5,

    /// <summary>Load by address (MIO); never offered.</summary>
    LoadMio = 0xb9d6,

    /// <summary>MPCIFC: modifies the controls of r1 as its operand, a <see cref="ZpciFib"/>, says.</summary>
    ModifyControls = 0xe3d0,

    /// <summary>STPCIFC: stores the controls of r1 in its operand, a <see cref="ZpciFib"/>.</summary>
    StoreControls = 0xe3d4,

    /// <summary>PCISTB: stores a block of r1 at the offset in r3.</summary>
    StoreBlock = 0xebd0,

    /// <summary>SIC: sets interruption controls; r1 what, r3 the subclass.</summary>
    SetInterruptionControls = 0xebd1,

    /// <summary>Store of a block by address (MIO); never offered.</summary>
    StoreBlockMio = 0xebd4,
}
