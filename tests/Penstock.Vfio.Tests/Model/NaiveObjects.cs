namespace Penstock.Vfio.Tests.Model;

internal sealed class NaiveMachine
{
    internal int References = 1;
    internal bool HasOwner = true;
}

internal sealed class NaiveMap
{
    internal int First;
    internal int Pages;
    internal int Memory;
    internal DmaAccess Access;

    internal int Last => First + Pages - 1;

    internal bool Touches(int page, int pages) => First <= page + pages - 1 && Last >= page;
}

internal sealed class NaiveSpace
{
    internal List<NaiveMap> Maps = [];

    internal bool Touches(int page, int pages) => Maps.Exists(m => m.Touches(page, pages));

    internal bool TouchesReserved(int group) => Maps.Exists(m => Places.IsReserved(group, m.First, m.Pages));

    internal NaiveMap? At(int page) => Maps.Find(m => m.Touches(page, 1));
}

internal sealed class NaiveContainer
{
    internal bool IsClosed;
    internal List<NaiveGroup> Groups = [];
    internal NaiveSpace? Backend;
    internal bool IsSecondForm;
}

/// <summary>A group from the registration of its first device until that of its last one ends.</summary>
internal sealed class NaiveGroup
{
    internal required int Number;
    internal List<int> Openable = [];
    internal int Registered;
    internal bool IsDead;
    internal bool IsOpen;
    internal int CdevUsers;
    internal int ContainerUsers;
    internal NaiveContainer? Container;
}

internal sealed class NaiveGroupFile
{
    internal required NaiveGroup Group;
    internal bool IsClosed;

    /// <summary>Its user and machines.</summary>
    internal int Holders = 1;

    /// <summary>The holders together, and each device that was opened through it.</summary>
    internal int References = 1;
    internal NaiveMachine? Machine;
}

internal sealed class NaiveDevice
{
    internal required int Index;
    internal NaiveGroup? Group;
    internal bool IsLeaving;
    internal int Users;
    internal int Nodes;
    internal NaiveMachine? Lease;
}

internal sealed class NaiveDeviceFile
{
    internal required NaiveDevice Device;
    internal required NaiveGroupFile Via;
}

internal sealed class NaiveIommufd
{
    internal bool IsClosed;
    internal NaiveSpace Space = new();
    internal List<NaiveCdev> Attached = [];
}

internal sealed class NaiveCdev
{
    internal required NaiveDevice Device;
    internal required NaiveGroup Group;
    internal int Holders = 1;
    internal NaiveIommufd? Iommufd;
    internal NaiveMachine? Machine;
}
