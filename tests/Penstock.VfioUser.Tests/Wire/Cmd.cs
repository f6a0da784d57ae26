namespace Penstock.VfioUser.Tests;

/// <summary>The protocol's numbers, written down once more: a test that took them from the code under test could not find a wrong one.</summary>
internal static class Cmd
{
    public const ushort Version = 1;
    public const ushort DmaMap = 2;
    public const ushort DmaUnmap = 3;
    public const ushort GetInfo = 4;
    public const ushort GetRegionInfo = 5;
    public const ushort GetRegionIoFds = 6;
    public const ushort GetIrqInfo = 7;
    public const ushort SetIrqs = 8;
    public const ushort RegionRead = 9;
    public const ushort RegionWrite = 10;
    public const ushort DmaRead = 11;
    public const ushort DmaWrite = 12;
    public const ushort Reset = 13;
    public const ushort WriteMulti = 15;
    public const ushort Feature = 16;
    public const ushort MigRead = 17;
    public const ushort MigWrite = 18;
    public const ushort PrecopyInfo = 19;

    public const uint Get = 0x10000;
    public const uint Set = 0x20000;
    public const uint Probe = 0x40000;

    public const uint TypeReply = 1;
    public const uint NoReply = 0x10;
    public const uint ErrorFlag = 0x20;

    public const uint ConfigRegion = 7;
    public const int Megabyte = 1 << 20;
}
