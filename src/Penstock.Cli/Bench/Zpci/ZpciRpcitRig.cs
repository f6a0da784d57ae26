using Penstock.Hypervisor;
using Penstock.S390;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Bench;

/// <summary>One guest, and all ways to answer its RPCITs.</summary>
internal sealed class ZpciRpcitRig : IDisposable
{
    private const int MostPages = 2048;
    private const int SocketRepeats = 1;
    private const int ContainerRepeats = 4;
    private const int FastRepeats = 32;

    private readonly TemporaryFolder _folder = new();
    private readonly VfioHost _host = new();
    private readonly SimulatedVm _machine;
    private readonly Stack<IDisposable> _owned = new();

    /// <exception cref="IOException">The server cannot be started or ends by itself.</exception>
    public ZpciRpcitRig(int processor)
    {
        _machine = new SimulatedKvm(_host).CreateVm();
        try
        {
            _machine.Memory.Add(new GuestMemorySlot(0, 0, Guest.Memory.Length, Guest.Memory));
            Subjects = [OverSocket(processor), OverContainer(), Shadow(), Nested()];
            foreach (ZpciRpcitSubject subject in Subjects)
            {
                subject.Mode.Register(Guest.Registration);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public ZpciBenchGuest Guest { get; } = new(MostPages + ZpciRpcitSubject.AtOnce, hasData: true);

    public IReadOnlyList<ZpciRpcitSubject> Subjects { get; } = [];

    /// <summary>A group whose devices translate by a subject's domain.</summary>
    public IommuGroup GroupOf(ZpciRpcitSubject subject)
    {
        if (subject.Mode is not INestedTranslation)
        {
            return _host.Groups[0];
        }

        IommuGroup group = _host.AddIommuUnit($"bench {subject.Name}").CreateGroup();
        group.Attach(subject.Domain!);
        return group;
    }

    public void Dispose()
    {
        foreach (IommuGroup group in _host.Groups.Skip(1))
        {
            group.Detach();
        }

        foreach (IDisposable owned in _owned)
        {
            owned.Dispose();
        }

        _machine.Dispose();
        Guest.Dispose();
        _host.Dispose();
        _folder.Dispose();
    }

    private ZpciRpcitSubject OverSocket(int processor)
    {
        string socket = _folder.File("bench.sock");
        BenchProcess server = Own(new BenchProcess(
            Environment.ProcessPath!, ["serve", "bench", "--socket", socket, "--cpu", processor.ToString(System.Globalization.CultureInfo.InvariantCulture)]));
        VfioUserClient client = Own(server.Connect(socket, () => VfioUserClient.Connect(socket, OwnPeers.Client)));
        return new ZpciRpcitSubject("fallback, socket", Own(Fallback(new ZpciSocketNotifier(client, Guest.File))), null, SocketRepeats);
    }

    private ZpciRpcitSubject OverContainer()
    {
        IommuGroup group = _host.AddIommuUnit("bench").CreateGroup();
        VfioDevice device = new BenchDevice();
        _host.Register(device, group);
        VfioContainer container = Own(_host.OpenContainer(BenchUser.Anybody));
        VfioGroup file = Own(_host.OpenGroup(group.Number, BenchUser.Anybody));
        file.SetContainer(container);
        container.SetIommu(VfioIommuType.Type1V2);
        return new ZpciRpcitSubject(
            "fallback, container", Own(Fallback(new ContainerNotifier(_machine.Memory, container))), (TranslatingDomain)group.Domain!, ContainerRepeats);
    }

    private ZpciRpcitSubject Shadow()
    {
        ZpciDomain domain = Own(new ZpciDomain(new ZpciDomainSetup { Ledger = _host.Ledger }));
        return new ZpciRpcitSubject("shadow", Own(new ShadowRefresh(_machine.Memory, new LockedPages(_host, BenchUser.Anybody), domain)), domain, FastRepeats);
    }

    private ZpciRpcitSubject Nested()
    {
        WalkedRefresh mode = Own(new WalkedRefresh(_machine.Memory, new LockedPages(_host, BenchUser.Anybody)));
        return new ZpciRpcitSubject("nested", mode, mode.Domain, FastRepeats);
    }

    private FallbackRefresh<TableWalker<GuestTableReader>> Fallback(IDmaNotifier notifier) =>
        new(new TableWalker<GuestTableReader>(new GuestTableReader(_machine.Memory)), notifier);

    private T Own<T>(T owned)
        where T : IDisposable
    {
        _owned.Push(owned);
        return owned;
    }
}
