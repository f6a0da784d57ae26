using Penstock.Interop;
using Penstock.S390;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

/// <summary>A machine with tables in its memory, and modes over them. In the end nothing may be pinned or charged.</summary>
internal sealed class NestingRig : IDisposable
{
    public const ulong Page = 4096;
    public const ulong Iova = NestingTables.FirstIova;

    private readonly List<IDisposable> _owned = [];
    private readonly List<LockedPages> _payers = [];

    public NestingRig()
    {
        Rig = new HypervisorRig();
        Tables = new NestingTables(Rig, Rig.Vm.Memory);
    }

    public HypervisorRig Rig { get; }

    public GuestMemory Memory => Rig.Vm.Memory;

    public NestingTables Tables { get; }

    public static Caller User(ulong limitPages = ulong.MaxValue / Page) => new(1000, RawIo: false, LockMemory: false, limitPages * Page);

    public ShadowRefresh Shadow(out FakeHostTables target, ulong limitPages = ulong.MaxValue / Page, ShadowOptions? options = null)
    {
        var made = new FakeHostTables();
        target = made;
        return Own(new ShadowRefresh(Memory, Payer(limitPages), _ => made, options));
    }

    /// <summary>A shadow in the tables of a host's domain.</summary>
    public ShadowRefresh Shadow(out ZpciDomain domain, ulong limitPages = ulong.MaxValue / Page)
    {
        domain = Own(new ZpciDomain(new ZpciDomainSetup { Ledger = Rig.Host.Ledger }));
        return Own(new ShadowRefresh(Memory, Payer(limitPages), domain));
    }

    public WalkedRefresh Walked(ulong limitPages = ulong.MaxValue / Page) => Own(new WalkedRefresh(Memory, Payer(limitPages)));

    public INestedTranslation Mode(NestingMode mode) => mode == NestingMode.Walked ? Walked() : Shadow(out ZpciDomain _);

    public FallbackRefresh<TableWalker<GuestTableReader>> Fallback(out TranslatingDomain domain, DmaBudget? budget = null)
    {
        domain = Own(Rig.Host.AddIommuUnit("vmm").CreateDomain());
        return Own(new FallbackRefresh<TableWalker<GuestTableReader>>(
            new TableWalker<GuestTableReader>(new GuestTableReader(Memory)), new DomainNotifier(Memory, domain), budget));
    }

    /// <summary>Where a page leads for devices, as the memory's address in this process, and whether it can be written; null when nowhere.</summary>
    public static (nint Address, bool Writable)? Seen(TranslatingDomain domain, ulong iova)
    {
        using DmaScope scope = domain.Enter();
        if (!scope.TryBorrow(iova, 1, DmaAccess.Read, out DmaRun run))
        {
            return null;
        }

        unsafe
        {
            return ((nint)run.Pointer, scope.TryBorrow(iova, 1, DmaAccess.Write, out _));
        }
    }

    public T Own<T>(T owned)
        where T : IDisposable
    {
        _owned.Add(owned);
        return owned;
    }

    public LockedPages Payer(ulong limitPages)
    {
        var payer = new LockedPages(Rig.Host, User(limitPages));
        _payers.Add(payer);
        return payer;
    }

    public void Dispose()
    {
        // Modes before what they need.
        for (int i = _owned.Count - 1; i >= 0; i--)
        {
            _owned[i].Dispose();
        }

        Assert.All(_payers, p => Assert.Equal(0, p.Count));
        Assert.Equal(0, Rig.Host.Ledger.Outstanding(ResourceKind.Pin));
        Rig.Dispose();
    }
}
